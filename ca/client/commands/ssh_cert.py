"""`amrgate ssh-cert load|info`."""

import json
import time

import click

from ca import words
from ca.client import certificates, place
from ca.client.account import Account, refuse
from ca.client.certificates import validity
from ca.errors import InvalidRequest, NotFound
from sshd_hook.certificate import (
    Certificate,
    check_fields,
    claims_of,
    display_name,
    session_handle,
)
from sshd_hook.wire import WireError, fingerprint


@click.group(name="ssh-cert")
def ssh_cert() -> None:
    """Your SSH certificate.

    \b
    Example:
        amrgate ssh-cert info
    """


@ssh_cert.command()
@click.option("-f", "--force", is_flag=True, help="Get a new one, even if this one is good.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when all is well.")
def load(*, force: bool, quiet: bool) -> None:
    """Get a certificate, if the present one has ended or is about to.

    ssh does this by itself once `amrgate ssh-config install` was run.

    \b
    Example:
        amrgate ssh-cert load
    """
    me = Account(place.find(), refuse)
    me.check_login()  # without one there is nothing to do
    me.place.make()
    found = certificates.renew(me) if force else certificates.renew_if_needed(me)
    if not quiet:
        click.echo(f"Your certificate is {validity(found, int(time.time()))}.")


@ssh_cert.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def info(*, as_json: bool) -> None:
    """Show what your certificate says of you.

    \b
    Example:
        amrgate ssh-cert info --json
    """
    here = place.find()
    found = certificates.present(here)
    if found is None:
        raise NotFound("You have no certificate: run `amrgate ssh-cert load`.")
    try:
        check_fields(found)
    except WireError as error:
        raise InvalidRequest(f"{here.certificate} is not one of ours: {error}.") from error
    claims = claims_of(found)
    fields: dict[str, object] = {
        "file": str(here.certificate),
        "key": fingerprint(found.public_key),
        "authority": fingerprint(found.signature_key),
        "key id": found.key_id,
        "name": display_name(found),
        "principals": list(found.principals),
        "serial": found.serial,
        "valid after": found.valid_after,
        "valid before": found.valid_before,
        "amr": sorted(claims.amr),
        "auth time": claims.auth_time,
        "via": claims.via,
        "session": session_handle(found),
        "extensions": [name for name, _ in found.extensions],
    }
    if as_json:
        named = {name.replace(" ", "_"): value for name, value in fields.items()}
        click.echo(json.dumps(named, indent=2, ensure_ascii=False))
        return
    _show(fields, found, int(time.time()))


def _show(fields: dict[str, object], found: Certificate, now: int) -> None:
    at = fields["auth time"]
    shown = {name: value for name, value in fields.items() if value not in ("", None, [])}
    shown.pop("valid after")
    shown["session handle"] = shown.pop("session")  # its id is another, which opens something
    shown["valid before"] = validity(found, now)
    if isinstance(at, int):
        shown["auth time"] = f"{words.roughly(max(0, now - at))} ago, {words.moment(at)}"
    for name, value in shown.items():
        joined = ("," if name == "amr" else ", ").join(value) if isinstance(value, list) else value
        label = "validity" if name == "valid before" else name
        click.echo(f"{label}: {words.safe(str(joined))}")

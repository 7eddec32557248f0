"""`amrgate-ca certificate`: see what was issued, and revoke it."""

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import Engine

from ca.errors import InvalidRequest, NotFound
from ca.issuance import revocation
from ca.keys.files import read_public_key
from ca.keys.keyring import key_path
from ca.ops.database import open_database, operator
from ca.ops.options import data_option
from ca.store import certificates, directory, hosts
from ca.store.certificates import Issued
from ca.store.engine import reading

_HANDLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]")


@click.group()
def certificate() -> None:
    """See what was issued, and revoke it. Hosts obey within a second.

    Example: amrgate-ca certificate revoke 7688013004800001
    """


@certificate.command("list")
@click.option("--of", "owner", help="Only those of this user or host.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def list_certificates(owner: str | None, data: Path, *, as_json: bool) -> None:
    """Print the certificates that have not expired, the oldest first.

    Example: amrgate-ca certificate list --of alice
    """
    with open_database(data) as engine, reading(engine) as connection:
        names = {one.id: one.username for one in directory.all_users(connection)}
        names |= {one.id: one.name for one in hosts.all_hosts(connection)}
        found = certificates.usable(connection, int(time.time()))
    shown = [
        (names.get(one.subject, one.subject), one)
        for one in found
        if owner in (None, one.subject, names.get(one.subject))
    ]
    if not shown and owner is not None and owner not in names.values():
        raise NotFound(
            f"There is no user or host {owner!a}: see `amrgate-ca user list` and `amrgate-ca host list`."
        )
    if as_json:
        click.echo(json.dumps([_fields(name, one) for name, one in shown], indent=2))
        return
    if not shown:
        click.echo("There are none.", err=True)
    for name, one in shown:
        state = "" if one.revoked_at is None else "  revoked"
        click.echo(f"{one.serial}  {name}  until {_moment(one.valid_before)}{state}")


@certificate.command()
@click.argument("what", nargs=-1, required=True)
@click.option("--why", default="", help="For the audit log.")
@data_option
def revoke(what: tuple[str, ...], why: str, data: Path) -> None:
    """Refuse certificates from now on. WHAT is as logs write it: a certificate's serial, a
    session's handle, or a key's fingerprint (SHA256:…).

    A session ends, and its certificates go with it. A key is refused for good, whoever uses it and
    in whichever certificate. For all of a user's, see `amrgate-ca user revoke`.

    Example: amrgate-ca certificate revoke 7688013004800001 --why "laptop stolen"
    """
    for one in what:
        if not (_is_serial(one) or _HANDLE.fullmatch(one) or _FINGERPRINT.fullmatch(one)):
            raise InvalidRequest(
                f"{one!a} is neither a serial, nor a session's handle, nor a key's fingerprint."
            )
    with open_database(data) as engine:
        for one in what:
            done = _revoke(engine, data, one, why)
            click.echo(f"{one} is revoked." if done else f"{one} was revoked before.")


def _revoke(engine: Engine, data: Path, what: str, why: str) -> bool:
    by, now = operator(), int(time.time())
    if _is_serial(what):
        return revocation.revoke_serial(engine, int(what), by, why, now)
    if _HANDLE.fullmatch(what):
        revocation.revoke_session(engine, what, by, why, now)
        return True
    return revocation.revoke_key(engine, what, _ours(data), by, why, now=now)


def _is_serial(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,18}", text) is not None and int(text) < 1 << 63


def _ours(data: Path) -> tuple[bytes, ...]:
    roles = ("user_ca", "host_ca")
    return tuple(read_public_key(key_path(data, role).with_suffix(".pub")) for role in roles)


def _fields(name: str, one: Issued) -> dict[str, object]:
    return {
        "serial": str(one.serial),  # readers of JSON round beyond 2**53
        "kind": one.kind,
        "of": name,
        "id": one.subject,
        "session": one.session,
        "issued": _moment(one.issued_at),
        "expires": _moment(one.valid_before),
        "outcome": one.outcome,
        "revoked": None if one.revoked_at is None else _moment(one.revoked_at),
    }


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")

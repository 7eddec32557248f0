"""`amrgate-ca host`: let machines join, and see which have."""

import json
import time
from operator import attrgetter
from pathlib import Path

import click

from ca import settings
from ca.directory.apply import grammar
from ca.errors import InvalidRequest, NotFound
from ca.hosts import https_ca, join
from ca.ops.database import open_database, operator
from ca.ops.decisions import decisions
from ca.ops.explain import explain_command
from ca.ops.host_report import report_only_command
from ca.ops.host_state import HostState
from ca.ops.options import data_option
from ca.store import hosts
from ca.store.engine import reading

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def host() -> None:
    """Let machines join, and see which have.

    Example: amrgate-ca host token ssh.acme.example
    """


host.add_command(decisions)


@host.command()
@click.argument("name")
@click.option(
    "--alias",
    "aliases",
    multiple=True,
    help="Another name that its host certificates hold; may be repeated.",
)
@click.option(
    "--services",
    default="",
    help="Services that are on this machine from now on: their names, with commas between.",
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Who signed the CA's HTTPS certificate (PEM): kept, so it is said once. For one of a"
    " public authority: /etc/ssl/certs/ca-certificates.crt.",
)
@data_option
def token(
    name: str, aliases: tuple[str, ...], services: str, ca_file: Path | None, data: Path
) -> None:
    """Print the line with which the machine NAME joins.

    It is good once, for an hour.

    Example: amrgate-ca host token ssh.acme.example --alias 192.0.2.7 --ca-file ca.pem
    """
    for one in (name, *aliases):
        if not grammar.HOST.fits(one):
            raise InvalidRequest(f"{one!a} is not {grammar.HOST.words}.")
    issuer = settings.read(data).issuer
    pinned = _pin(data, issuer, ca_file)
    wanted = tuple(filter(None, services.split(",")))
    with open_database(data) as engine:
        made = join.make_token(engine, name, aliases, operator(), int(time.time()))
        if wanted:
            join.place(engine, name, wanted, operator(), int(time.time()))
    click.echo("Run this on the machine, as root, within an hour:", err=True)
    click.echo(f"sshd-hook enroll --ca {issuer}{pinned} --name {name} --token {made}")


def _pin(data: Path, issuer: str, ca_file: Path | None) -> str:
    """The option by which a machine knows who signs the CA's HTTPS certificate."""
    if ca_file is not None:
        https_ca.keep(data, ca_file.read_bytes())
    if not issuer.startswith("https://"):
        return ""
    certificates = https_ca.read(data)
    if certificates is None:
        raise InvalidRequest(
            f"Say once who signed the HTTPS certificate of {issuer}: --ca-file FILE, in PEM. For"
            " one of a public authority: --ca-file /etc/ssl/certs/ca-certificates.crt."
        )
    return f" --ca-pin {https_ca.fingerprint(certificates)}"


@host.command("list")
@json_option
@data_option
def list_hosts(data: Path, *, as_json: bool) -> None:
    """Print all hosts, those that lag first. Exit status 1 if there is one, for monitoring.

    Example: amrgate-ca host list
    """
    with open_database(data) as engine, reading(engine) as connection:
        found = hosts.all_hosts(connection)
    now = int(time.time())
    seen = sorted((HostState(one, now) for one in found), key=attrgetter("order"))
    if as_json:
        click.echo(json.dumps([one.fields() for one in seen], indent=2))
    else:
        for one in seen:
            click.secho(str(one), fg="red" if one.lags else None)
    if any(one.lags for one in seen):
        click.get_current_context().exit(1)


@host.command()
@click.argument("name")
@json_option
@data_option
def show(name: str, data: Path, *, as_json: bool) -> None:
    """Print what is known of the host NAME.

    Example: amrgate-ca host show ssh.acme.example
    """
    with open_database(data) as engine, reading(engine) as connection:
        found = hosts.find_host(connection, name)
        if found is None:
            raise NotFound(f"There is no host {name}.")
        seen = HostState(found, int(time.time()))
        fields = seen.fields()
        fields["services"] = sorted(
            service for alike in hosts.services_on(connection, name) for service in alike.names
        )
    if as_json:
        click.echo(json.dumps(fields, indent=2))
        return
    click.secho(str(seen), fg="red" if seen.lags else None)
    for field, value in fields.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        click.echo(f"{field:12}  {'-' if shown is None else shown}")


@host.command()
@click.argument("name")
@data_option
def remove(name: str, data: Path) -> None:
    """Make NAME a host no more.

    It hears nothing of us from now on, and its certificates are in the revocation list. Engineers'
    ssh does not fetch that: it knows the host until they end.

    The machine goes on by the policy that it has until it has been a day (or what organizations
    say) without word: run `sshd-hook unenroll` on it. What is stolen may still hold keys.

    Example: amrgate-ca host remove ssh.acme.example
    """
    with open_database(data) as engine:
        revoked = join.remove(engine, name, operator(), int(time.time()))
    click.echo(f"{name} is no host any more. Revoked: {revoked} of its certificates.")
    click.echo("On the machine, if you still have it: sshd-hook unenroll", err=True)


host.add_command(explain_command)
host.add_command(report_only_command)

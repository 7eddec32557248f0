"""`amrgate-ca host`: let machines join, and see which have."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from ca import settings
from ca.directory.apply import grammar
from ca.errors import InvalidRequest, NotFound
from ca.hosts import join
from ca.ops.database import open_database, operator
from ca.ops.decisions import decisions
from ca.ops.options import data_option
from ca.store import hosts
from ca.store.engine import reading
from ca.store.hosts import Host

AWAY = 300  # seconds: a host that is there is noted at least every three minutes

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
@data_option
def token(name: str, aliases: tuple[str, ...], data: Path) -> None:
    """Print the line with which the machine NAME joins: good once, for an hour.

    Example: amrgate-ca host token ssh.acme.example --alias 192.0.2.7
    """
    for one in (name, *aliases):
        if not grammar.HOST.fits(one):
            raise InvalidRequest(f"{one!a} is not {grammar.HOST.words}.")
    issuer = settings.read(data).issuer
    with open_database(data) as engine:
        made = join.make_token(engine, name, aliases, operator(), int(time.time()))
    trust = " --ca-file ca.pem" if issuer.startswith("https://") else ""
    click.echo("Run this on the machine, as root, within an hour:", err=True)
    click.echo(f"sshd-hook enroll --ca {issuer}{trust} --name {name} --token {made}")
    if trust:
        click.echo("ca.pem: a file with who signed the CA's HTTPS certificate.", err=True)


@host.command("list")
@json_option
@data_option
def list_hosts(data: Path, *, as_json: bool) -> None:
    """Print all hosts.

    Example: amrgate-ca host list
    """
    with open_database(data) as engine, reading(engine) as connection:
        found = hosts.all_hosts(connection)
    if as_json:
        click.echo(json.dumps([_fields(one) for one in found], indent=2))
        return
    now = int(time.time())
    for one in found:
        click.echo(f"{one.name}  {_state(one, now)}")


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
        fields = _fields(found)
        fields["services"] = sorted(
            service for alike in hosts.services_on(connection, name) for service in alike.names
        )
    if as_json:
        click.echo(json.dumps(fields, indent=2))
        return
    for field, value in fields.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        click.echo(f"{field:12}  {'-' if shown is None else shown}")


@host.command()
@click.argument("name")
@data_option
def remove(name: str, data: Path) -> None:
    """Make NAME a host no more: it hears nothing of us from now on.

    Example: amrgate-ca host remove ssh.acme.example
    """
    with open_database(data) as engine:
        join.remove(engine, name, operator(), int(time.time()))
    click.echo(f"{name} is no host any more.")


def _fields(one: Host) -> dict[str, object]:
    return {
        "name": one.name,
        "id": one.id,
        "names": list(one.names),
        "joined": _moment(one.joined_at),
        "seen": _moment(one.seen_at),
        "obeys": one.acknowledged[0],
        "current": one.built.version,
    }


def _state(one: Host, now: int) -> str:
    if one.joined_at is None:
        return "has not joined"
    # Nothing is built for a host that does not ask, so of one that is away no more is known.
    is_here = one.seen_at is not None and now - one.seen_at <= AWAY
    newest = one.built.version, one.built.digest
    is_current = is_here and one.built.version > 0 and one.acknowledged == newest
    obeys = "up to date" if is_current else f"obeys {one.acknowledged[0]}"
    return f"{obeys}, seen {_moment(one.seen_at)}"


def _moment(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")

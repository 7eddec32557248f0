"""`amrgate-ca host decisions`: who came, where, and what became of it."""

import json
import time
from pathlib import Path

import click

from ca.directory import people
from ca.errors import NotFound
from ca.ops.database import open_database
from ca.ops.options import data_option
from ca.ops.times import ago, moment
from ca.store import decisions as store
from ca.store import hosts
from ca.store.decisions import Decision, Wanted
from ca.store.engine import reading

LOST = "lost"  # stands for decisions that did not come home


@click.command()
@click.argument("host", required=False, default="")
@click.option("--user", default="", help="Only those about this user.")
@click.option("--service", default="", help="Only those about this service.")
@click.option("--code", default="", help="Only those with this code, such as no_access.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1), help="How many at most."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def decisions(  # noqa: PLR0913 -- its options
    host: str, *, user: str, service: str, code: str, limit: int, data: Path, as_json: bool
) -> None:
    """Print what hosts decided last, or the host HOST alone.

    The newest comes last. A decision is no login yet: sshd asks before somebody proves that a key
    is theirs.

    Example: amrgate-ca host decisions ssh.acme.example --user alice
    """
    with open_database(data) as engine, reading(engine) as connection:
        user_id = people.find(connection, user).id if user else ""
        found = store.newest(connection, Wanted(host, user_id, service, code), limit)
        if host and not found and hosts.find_host(connection, host) is None:
            raise NotFound(f"There is no host {host}, and nothing is kept of one.")
    if as_json:
        click.echo(json.dumps([_fields(one) for one in found], indent=2))
        return
    now = int(time.time())
    for one in found:
        click.echo(f"{moment(one.at)} ({_when(one.at, now)})  {one.host}  {_in_words(one)}")


def _fields(one: Decision) -> dict[str, object]:
    times = {"at": moment(one.at), "received_at": moment(one.received_at)}
    return one._asdict() | times


def _in_words(one: Decision) -> str:
    if one.code == LOST:
        return f"{one.detail} decisions are in its system log alone"
    who = one.username or one.user_id or "somebody"
    where = f" to {one.service}" if one.service else ""
    why = f": {one.detail}" if one.detail else ""
    return f"{who}{where}  {one.code}{why}"


def _when(at: int, now: int) -> str:
    return ago(now - at) if at <= now else f"{ago(now - at)}, by its clock"

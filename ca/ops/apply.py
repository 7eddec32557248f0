"""`amrgate-ca apply`: make the directory equal to a file."""

from collections.abc import Mapping
from pathlib import Path

import click

from ca import settings
from ca.directory import loosened, service_users
from ca.directory.apply.diff import summary
from ca.directory.apply.document import Document
from ca.directory.apply.execute import apply as carry_out
from ca.directory.apply.plan import Plan
from ca.directory.apply.rehearse import Rehearsal, rehearse
from ca.directory.consequences import Lost
from ca.errors import InvalidRequest
from ca.ops.consent import ask
from ca.ops.database import open_database, operator
from ca.ops.options import data_option
from ca.store.members import Member
from ca.store.service_users import ServiceUser

COLORS = {"+": "green", "-": "red", "~": "yellow"}
MOST_SHOWN = 10  # of what is left alone


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def apply(file: Path, data: Path, *, dry_run: bool, yes: bool) -> None:
    """Make the directory what FILE says.

    Organizations, people, projects, services, requirements. All of it happens at once, or nothing
    does. What an earlier file spoke of and FILE does not is removed. What no file spoke of is
    left alone.

    What it takes away, and whom it locks out, is told before; at a terminal it then asks.

    Example: amrgate-ca apply acme.toml --dry-run
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}.") from error
    document = Document(text, file.name)
    with open_database(data) as engine:
        rehearsal = rehearse(engine, document)
        if dry_run:
            show_rehearsal(rehearsal)
            return
        asked = rehearsal.takes_away and ask(
            lambda: show_rehearsal(rehearsal), "Apply it now?", yes=yes
        )
        done = carry_out(engine, document, operator(), rehearsal.plan if asked else None)
        read = settings.read(data)
        service_users.announce(engine, read, operator(), done.changes)
        loosened.announce(engine, read, operator(), done.changes)
        show(done, ("added", "changed", "removed"))


def show_rehearsal(what: Rehearsal) -> None:
    """Print what there is to do, and whom it would meet."""
    show(what.plan, ("to add", "to change", "to remove"))
    show_lost(what.lost, what.certificates)
    show_locked_out(what.locked_out)


def show(what: Plan, words: tuple[str, str, str]) -> None:
    """Print each change, how many there are, and what is left alone."""
    for change in what.changes:
        click.secho(str(change), fg=COLORS[change.sign])
    for slug in what.untried:
        click.secho(
            f'sso:{slug} is required, and no owner or admin has logged in with "{slug}" yet: if it'
            " does not work, nobody gets in until it is required no more.",
            fg="yellow",
        )
    if what.left:
        shown = _some([str(item) for item in what.left])
        click.echo(f"Left alone, because no file has named them: {shown}.")
    click.echo(f"{summary(what.changes, words)}." if what.changes else "Nothing to change.")


def show_lost(gone: Lost, certificates: int) -> None:
    """Print whom it would meet: people, sessions, and connections by host."""
    _show_kept_out(gone.unable, "locks out, until they have what it requires")
    _show_kept_out(gone.programs, "locks out service users, unless they are exempt")
    sessions = len(gone.sessions)
    if sessions:
        warn(f"Live sessions that would not do any more: {sessions}, certificates: {certificates}.")
    show_ended(gone)


def _show_kept_out(who: Mapping[tuple[str, str], Member | ServiceUser], how: str) -> None:
    names: dict[str, list[str]] = {}
    for (organization, _user), one in who.items():
        names.setdefault(organization, []).append(one.user.username)
    for organization, found in sorted(names.items()):
        warn(f"{organization} {how}: {_some(sorted(found))}.")


def show_ended(gone: Lost) -> None:
    """Print how many connections each host would end."""
    for host in sorted({host for host, _service in gone.connections}):
        where = sorted(service for there, service in gone.connections if there == host)
        warn(f"{host} would end {gone.on(host)} open connections, to {_some(where)}.")


def show_locked_out(locked_out: set[tuple[str, str]]) -> None:
    """Print who could not log in any more where, for want of a factor or a provider."""
    for host in sorted({host for host, _name in locked_out}):
        names = sorted(name for where, name in locked_out if where == host)
        warn(f"{host} would lock out, until they have what is required: {_some(names)}.")


def warn(words: str) -> None:
    """Print what deserves a second look."""
    click.secho(words, fg="yellow")


def _some(names: list[str]) -> str:
    rest = len(names) - MOST_SHOWN
    return f"{', '.join(names[:MOST_SHOWN])}{f' and {rest} more' if rest > 0 else ''}"

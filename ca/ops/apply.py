"""`amrgate-ca apply`: make the directory equal to a file."""

from pathlib import Path

import click

from ca import settings
from ca.directory.apply.diff import Change, summary
from ca.directory.apply.document import Document
from ca.directory.apply.execute import apply as carry_out
from ca.directory.apply.execute import preview
from ca.directory.service_users import announce
from ca.errors import InvalidRequest
from ca.ops.database import open_database, operator
from ca.ops.options import data_option

COLORS = {"+": "green", "-": "red", "~": "yellow"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@data_option
def apply(file: Path, data: Path, *, dry_run: bool) -> None:
    """Make organizations, people, projects, services and requirements equal to FILE.

    All of it happens at once, or nothing does. What is not in FILE is removed: look at it with
    --dry-run first.

    Example: amrgate-ca apply acme.toml --dry-run
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}.") from error
    document = Document(text, file.name)
    with open_database(data) as engine:
        if dry_run:
            show(preview(engine, document), ("to add", "to change", "to remove"))
        else:
            changes = carry_out(engine, document, operator())
            announce(engine, settings.read(data), operator(), changes)
            show(changes, ("added", "changed", "removed"))


def show(changes: list[Change], words: tuple[str, str, str]) -> None:
    """Print each change, and how many there are."""
    for change in changes:
        click.secho(str(change), fg=COLORS[change.sign])
    click.echo(f"{summary(changes, words)}." if changes else "Nothing to change.")

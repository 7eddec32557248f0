"""`amrgate-ca upgrade`: the database, brought to what this version needs."""

from pathlib import Path

import click

from ca.ops.database import open_any_version
from ca.ops.options import data_option
from ca.store import schema


@click.command()
@data_option
def upgrade(data: Path) -> None:
    """Bring the database to what this version needs.

    After a new version is installed, while no service runs: once, also for several nodes. It
    happens as a whole or not at all; what is in the database stays.

    Example: amrgate-ca upgrade
    """
    with open_any_version(data) as engine:
        before = schema.upgradable(engine)
        schema.upgrade(engine)
    after = schema.newest()
    click.echo("Nothing is to do." if before == after else f"The schema was {before}, is {after}.")

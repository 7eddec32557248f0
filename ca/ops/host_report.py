"""`amrgate-ca host report-only`: let a host report before it holds anything against anybody."""

from pathlib import Path

import click

from ca import settings
from ca.directory import loosened
from ca.directory.consequences import Lost
from ca.hosts import reporting
from ca.ops.apply import show_ended, show_locked_out
from ca.ops.consent import ask
from ca.ops.database import open_database, operator
from ca.ops.options import data_option


@click.command("report-only")
@click.argument("name")
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option("--dry-run", is_flag=True, help="Only say whom it would meet.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def report_only_command(name: str, state: str, data: Path, *, dry_run: bool, yes: bool) -> None:
    """Let the host NAME only report who lacks something.

    It lets in whoever lacks what is required of a login, and logs it. Roles and networks hold as
    ever.

    Owners and admins of the organizations that it serves are told by e-mail. A file that is applied
    later may say otherwise: `report_only` in its section of the host.

    Before `off` it tells who would be locked out, and which connections would be ended; at a
    terminal it then asks.

    Example: amrgate-ca host report-only ssh.acme.example on
    """
    on = state == "on"
    with open_database(data) as engine:
        gone, locked_out = reporting.rehearse(engine, name, report_only=on)
        if dry_run:
            _show(gone, locked_out)
            return
        if locked_out or gone.connections:
            ask(lambda: _show(gone, locked_out), "Hold it against everybody now?", yes=yes)
        changes = reporting.set_report_only(engine, name, operator(), report_only=on)
        loosened.announce(engine, settings.read(data), operator(), changes)
    done = "now only reports" if on else "holds what is required against everybody"
    click.echo(f"{name} {done}.")


def _show(gone: Lost, locked_out: set[tuple[str, str]]) -> None:
    show_locked_out(locked_out)
    show_ended(gone)
    if not locked_out and not gone.connections:
        click.echo("It would lock nobody out, and end no open connection.")

"""`amrgate-ca`: each command is a module of its own, imported when it is used."""

import gc
import os
import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from logging import WARNING

import click
import structlog

from ca.errors import CAError

COMMANDS = (
    "init",
    "serve",
    "upgrade",
    "apply",
    "key",
    "host",
    "user",
    "sso",
    "certificate",
    "audit",
    "doctor",
    "openapi",
)


GARBAGE = 20_000
"""New objects before Python looks for cycles among all. It would at 700: while the modules of a
command are imported, which stay, that is a tenth of its time, and a third of the start of `serve`."""


class Commands(click.Group):
    """Lazy subcommands, whose expected errors are one line on stderr and exit status 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """The names of all commands, in the order in which one meets them."""
        return [name for name in COMMANDS if find_spec(f"ca.ops.{name}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """`ca.ops.NAME` has the command under the same name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        gc.set_threshold(GARBAGE)
        command: click.Command = getattr(import_module(f"ca.ops.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except CAError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="amrgate")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Run and operate an SSH certificate authority.

    Example: amrgate-ca init --issuer https://ca.acme.example
    """
    before = os.umask(0o077)  # whatever we make, keys and database, is ours alone
    ctx.call_on_close(partial(os.umask, before))
    # What a command did is what it prints; `serve` sets up a log of its own.
    logs = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    ctx.call_on_close(partial(structlog.configure, **logs))


if __name__ == "__main__":
    main(prog_name="amrgate-ca")

"""The command `amrgate`. Each subcommand is imported when it is run: starting is half of its time."""

from importlib import import_module

import click

from ca.errors import CAError, InsufficientAuthentication, NotAuthenticated

LOGIN_REQUIRED = 3  # existing tools look for it

COMMANDS = {
    "login": "login:login",
    "logout": "login:logout",
    "whoami": "whoami:whoami",
    "ssh": "ssh:ssh",
    "ssh-config": "ssh_config:ssh_config",
    "ssh-cert": "ssh_cert:ssh_cert",
    "mfa": "mfa:mfa",
    "session": "session:session",
    "token": "token:token",
    "org": "org:org",
    "explain": "explain:explain",
}


class LoginRequired(click.ClickException):
    """Shown like the others; tools tell it by the exit status."""

    exit_code = LOGIN_REQUIRED


class Commands(click.Group):
    """Commands that are imported by need; their expected errors are one line on stderr."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        """All, in the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """One of them."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(f"ca.client.commands.{module}"), name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; what goes wrong as expected is a sentence, not a traceback."""
        try:
            return super().invoke(ctx)
        except (NotAuthenticated, InsufficientAuthentication) as error:
            raise LoginRequired(error.message) from error
        except CAError as error:
            raise click.ClickException(error.message) from error
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise click.ClickException(f"{what}.") from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="amrgate", message="amrgate %(version)s")
def main() -> None:
    """Log in, and reach your environments by SSH with a certificate that renews itself.

    \b
    First of all:
        amrgate login --ca https://ca.example
        amrgate ssh-config install
        ssh abcdefg123456-main-bvxea6i--app@ssh.example

    Exit status: 0 when done, 2 for a command line that cannot be meant, 3 when you must log in
    (again, or in a way that proves more), 1 for everything else.
    """


if __name__ == "__main__":
    main(prog_name="amrgate")

"""`amrgate ssh-config install|uninstall|show`."""

from pathlib import Path

import click

from ca.client import files, place
from ca.client import ssh_config as config
from ca.client.commands.common import authority_of

_file = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=config.default_file,
    help="The configuration to change, if not ~/.ssh/config.",
)


@click.group(name="ssh-config")
def ssh_config() -> None:
    """Let plain ssh, scp, sftp and rsync use your certificate.

    \b
    Example:
        amrgate ssh-config install
    """


@ssh_config.command()
@_file
def install(file: Path) -> None:
    """Include our settings in your SSH configuration.

    Nothing else in it changes. Run it again when you have added an alias (`Host`) of one of our
    hosts.

    \b
    Example:
        amrgate ssh-config install
    """
    here = place.find()
    patterns = config.install(here, authority_of(here), file)
    click.echo(f"ssh uses your certificate for {', '.join(patterns)}: see {file}.")


@ssh_config.command()
@_file
def uninstall(file: Path) -> None:
    """Take our settings out again.

    \b
    Example:
        amrgate ssh-config uninstall
    """
    done = config.uninstall(place.find(), file)
    click.echo(f"{file} is as it was." if done else f"There was nothing of ours in {file}.")


@ssh_config.command()
@_file
def show(file: Path) -> None:
    """Show our settings, and whether they are included.

    \b
    Example:
        amrgate ssh-config show
    """
    here = place.find()
    settings = files.read(here.ssh_config) if here.ssh_config.parent.exists() else None
    present = config.contents(file)
    if settings is None or present is None or not config.is_installed(present):
        click.echo(f"{file} does not include our settings: run `amrgate ssh-config install`.")
        return
    click.echo(f"{file} includes {here.ssh_config}:\n\n{settings.decode()}", nl=False)

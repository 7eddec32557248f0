"""Options that several commands take, and the passphrase of the CA's keys."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ca import settings
from ca.errors import Misconfigured

MIN_PASSPHRASE = 12  # characters
MAX_PASSPHRASE = 1024  # bytes
CREDENTIAL = "passphrase"  # what systemd's LoadCredential= calls it

Command = TypeVar("Command", bound=Callable[..., Any])


def data_option(command: Command) -> Command:
    """`--data`, given to the command as the Path `data`."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=settings.DEFAULT_DATA,
        show_default=True,
        help="The folder of settings, keys and database.",
    )(command)


def passphrase_option(command: Command) -> Command:
    """`--passphrase-file`, given to the command as `passphrase_file`, a Path or None."""
    return click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path),
        help="A file with the passphrase of the keys, open to nobody else. Without it,"
        " systemd's credential 'passphrase' is read, or you are asked.",
    )(command)


def known_passphrase(file: Path | None) -> bytes:
    """The passphrase of keys that exist: from `file`, systemd's credential, or a prompt."""
    path = file or _credential()
    if path is not None:
        return _read_passphrase(path)
    return _prompt("Passphrase of the keys").encode()


def new_passphrase(file: Path | None) -> bytes:
    """The passphrase for keys to be made: as `known_passphrase`, but asked for twice.

    Raises:
        Misconfigured: it is too short. There is no default.
    """
    path = file or _credential()
    if path is not None:
        passphrase = _read_passphrase(path)
    else:
        passphrase = _prompt("New passphrase of the keys", confirm=True).encode()
    if len(passphrase.decode(errors="replace")) < MIN_PASSPHRASE:
        raise Misconfigured(f"The passphrase must have at least {MIN_PASSPHRASE} characters.")
    return passphrase


def _prompt(text: str, *, confirm: bool = False) -> str:
    try:
        answer: str = click.prompt(text, hide_input=True, confirmation_prompt=confirm, err=True)
    except click.Abort as error:
        raise Misconfigured("No passphrase was given: see --passphrase-file.") from error
    return answer


def _credential() -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / CREDENTIAL if folder else None
    return path if path is not None and path.exists() else None


def _read_passphrase(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 -- a descriptor
            mode = os.fstat(file.fileno()).st_mode
            passphrase = file.read(MAX_PASSPHRASE + 1)
    except OSError as error:
        raise Misconfigured(
            f"The passphrase in {path} cannot be read: {error.strerror}."
        ) from error
    if mode & 0o077:
        raise Misconfigured(f"{path} is open to others than its owner: chmod 600 {path}.")
    passphrase = passphrase.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase or len(passphrase) > MAX_PASSPHRASE or b"\n" in passphrase:
        raise Misconfigured(
            f"{path} must hold the passphrase alone, on one line of up to {MAX_PASSPHRASE} bytes."
        )
    return passphrase

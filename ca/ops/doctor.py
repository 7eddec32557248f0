"""`amrgate-ca doctor`: what is wrong with this CA, if anything."""

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click

from ca import audit, settings
from ca.errors import CAError, Misconfigured
from ca.keys import files, keyring
from ca.ops.database import open_any_version, open_database
from ca.ops.options import data_option
from ca.store.engine import reading

Check = tuple[str, Callable[[], None]]


@click.command()
@data_option
def doctor(data: Path) -> None:
    """Check folder, keys, settings, database and audit log.

    It changes nothing.

    Example: amrgate-ca doctor --data /var/lib/amrgate-ca
    """
    broken = 0
    for name, check in checks(data):
        try:
            check()
        except CAError as error:
            broken += 1
            click.echo(f"FAIL  {name}: {error.message}")
        else:
            click.echo(f"ok    {name}")
    if broken:
        raise SystemExit(1)


def checks(data: Path) -> Iterator[Check]:
    """Each check with its name; one that finds a fault raises CAError."""
    yield "the folder is ours alone", lambda: _private(data)
    for role in keyring.ROLES:
        path = keyring.key_path(data, role)
        yield f"the key {path.name} is ours alone", partial(_private, path)
    yield "the recovery key is offline", lambda: _recovery(data)
    try:
        settings.read(data)
    except Misconfigured as error:
        yield "the settings can be read", partial(_fail, error)
        return
    yield "the settings can be read", lambda: None
    yield "the database has this version's schema", lambda: _schema(data)
    yield "the audit log is whole", lambda: _audit(data)


def _fail(error: Misconfigured) -> None:
    raise error


def _private(path: Path) -> None:
    try:
        found = path.lstat()
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}.") from error
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
        raise Misconfigured(f"{path} is a link or belongs to somebody else.")
    if found.st_mode & 0o077:
        raise Misconfigured(f"{path} is open to others: chmod go= {path}")


def _recovery(data: Path) -> None:
    path = keyring.key_path(data, keyring.RECOVERY)
    files.read_public_key(path.with_suffix(".pub"))
    if path.exists():
        raise Misconfigured(f"{path} is still here: move it to a safe place.")


def _schema(data: Path) -> None:
    with open_database(data):
        pass


def _audit(data: Path) -> None:
    with open_any_version(data) as engine, reading(engine) as connection:
        audit.verify(connection)

"""`amrgate-ca user`: get people in, and keep them out."""

import json
import time
from pathlib import Path

import click

from ca.directory import people
from ca.errors import InvalidRequest
from ca.identity import accounts, attempts
from ca.ops.database import open_database, operator
from ca.ops.options import data_option
from ca.store import directory
from ca.store.engine import reading
from ca.store.people import find_totp, password_hash
from ca.store.webauthn import keys_of

MAX_FILE = 8192  # bytes


@click.group()
def user() -> None:
    """Get people in, and keep them out. Who there is, `amrgate-ca apply` says.

    Example: amrgate-ca user password alice
    """


@user.command()
@click.argument("name")
@click.option(
    "--from-file",
    "file",
    type=click.Path(path_type=Path),
    help="A file that holds the password, on one line.",
)
@data_option
def password(name: str, file: Path | None, data: Path) -> None:
    """Give the user NAME a password; you are asked for it. All their sessions end.

    Example: amrgate-ca user password alice
    """
    with open_database(data) as engine:
        with reading(engine) as connection:
            found = people.find(connection, name)
        chosen = _read(file) if file else _ask()
        accounts.set_password(engine, operator(), found.id, chosen, int(time.time()))
    click.echo(f"{name} has a new password.")


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def list_users(data: Path, *, as_json: bool) -> None:
    """Print everybody, and what they log in with.

    Example: amrgate-ca user list
    """
    with open_database(data) as engine, reading(engine) as connection:
        found = [
            {
                "username": one.username,
                "name": one.name,
                "email": one.email,
                "id": one.id,
                "password": password_hash(connection, one.id) is not None,
                "application": find_totp(connection, one.id) is not None,
                "keys": len(keys_of(connection, one.id)),
                "disabled": one.disabled,
            }
            for one in directory.all_users(connection)
        ]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for fields in found:
        has = [word for word in ("password", "application", "keys", "disabled") if fields[word]]
        click.echo(f"{fields['username']}  {fields['name']}  {', '.join(has) or 'no password'}")


@user.command()
@click.argument("name")
@data_option
def revoke(name: str, data: Path) -> None:
    """End all sessions of NAME and revoke their certificates. They may log in again.

    Example: amrgate-ca user revoke alice
    """
    with open_database(data) as engine:
        serials = people.revoke(engine, name, operator(), int(time.time()))
    click.echo(f"{name} has to log in again. Revoked: {len(serials)} certificates.")


@user.command()
@click.argument("name")
@data_option
def disable(name: str, data: Path) -> None:
    """Refuse the user NAME everywhere, at once.

    Example: amrgate-ca user disable mallory
    """
    with open_database(data) as engine:
        people.disable(engine, name, operator(), int(time.time()))
    click.echo(f"{name} is refused everywhere.")


@user.command()
@click.argument("name")
@data_option
def enable(name: str, data: Path) -> None:
    """Let the user NAME log in again.

    Example: amrgate-ca user enable mallory
    """
    with open_database(data) as engine:
        people.enable(engine, name, operator(), int(time.time()))
    click.echo(f"{name} may log in.")


@user.command("forget-factors")
@click.argument("name")
@data_option
def forget_factors(name: str, data: Path) -> None:
    """Forget the second factors of NAME, who has lost them.

    The authenticator application, the keys and the recovery codes. Be sure that it is NAME who
    asks: from now on the password alone is the login.

    Example: amrgate-ca user forget-factors alice
    """
    with open_database(data) as engine:
        people.forget_factors(engine, name, operator(), int(time.time()))
    click.echo(f"{name} logs in with the password alone, and can set up an application.")


@user.command()
@click.argument("name")
@data_option
def unlock(name: str, data: Path) -> None:
    """Forget the failed attempts of NAME.

    Who may log in again without a wait. Be sure that it was NAME who failed: otherwise somebody may
    go on guessing.

    Example: amrgate-ca user unlock alice
    """
    with open_database(data) as engine:
        with reading(engine) as connection:
            found = people.find(connection, name)
        failures = attempts.unlock(engine, found.id, operator())
    if failures:
        attempted = "1 failed attempt is" if failures == 1 else f"{failures} failed attempts are"
        click.echo(f"{name} may log in again: {attempted} forgotten.")
    else:
        click.echo(f"{name} was not locked: there is no failed attempt.")


def _ask() -> str:
    try:
        typed: str = click.prompt(
            "New password", hide_input=True, confirmation_prompt=True, err=True
        )
    except click.Abort as error:
        raise InvalidRequest("No password was given: see --from-file.") from error
    return typed


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_FILE + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}.") from error
    line = text.removesuffix("\n").removesuffix("\r")
    if len(text) > MAX_FILE or not line or "\n" in line:
        raise InvalidRequest(f"{file} must hold the password alone, on one line.")
    return line

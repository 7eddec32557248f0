"""`amrgate whoami`."""

import json
import time

import click

from ca.client import terminal
from ca.client.account import Account
from ca.client.commands.common import account


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def whoami(*, as_json: bool) -> None:
    """Say who is logged in, and how.

    \b
    Example:
        amrgate whoami --json
    """
    me = account()
    user = me.call("GET", "/users/me")
    claims = me.session().claims()
    claimed = claims.get("amr")
    amr = [terminal.safe(str(value)) for value in claimed] if isinstance(claimed, list) else []
    at = claims.get("auth_time")
    found = {
        "id": _text(user, "id"),
        "username": _text(user, "username"),
        "name": name_of(user),
        "email": _text(user, "email"),
        "ca": me.session().ca,
        "amr": amr,
        "auth_time": at if type(at) is int else None,
    }
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    ago = terminal.roughly(max(0, int(time.time()) - at)) if type(at) is int else "an unknown time"
    click.echo(
        f"{found['name']} ({found['username']}, {found['email']})\n"
        f"id: {found['id']}\n"
        f"authority: {found['ca']}\n"
        f"amr: {','.join(amr)}\n"
        f"logged in: {ago} ago"
    )


def describe(me: Account) -> str:
    """Who is logged in, on one line."""
    user = me.call("GET", "/users/me")
    return f"{name_of(user)} ({_text(user, 'email')})"


def name_of(user: object) -> str:
    """First and last name; the user name where there is none."""
    full = f"{_text(user, 'first_name')} {_text(user, 'last_name')}".strip()
    return full or _text(user, "username")


def _text(user: object, name: str) -> str:
    value = user.get(name) if isinstance(user, dict) else None
    return terminal.safe(value) if isinstance(value, str) else ""

"""`amrgate session`: where one is logged in."""

from typing import Any

import click

from ca.client import output
from ca.client.commands.common import account, json_option, own_path
from ca.client.output import ago, text, texts
from ca.words import device, methods


@click.group()
def session() -> None:
    """Where you are logged in: browsers, and commands like this one.

    \b
    Example:
        amrgate session list
        amrgate session end --others
    """


@session.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """List your sessions.

    \b
    Example:
        amrgate session list
    """
    me = account()
    found = output.items(me.call("GET", own_path(me, "sessions")))
    if as_json:
        output.as_json(found)
        return
    rows = [
        (
            text(one, "id"),
            _what(one),
            _program(one),
            text(one, "ip"),
            methods(texts(one, "amr")),
            ago(one, "auth_time"),
            ago(one, "last_used_at"),
        )
        for one in found
    ]
    output.table(("ID", "WHAT", "PROGRAM", "ADDRESS", "PROVED", "LOGGED IN", "USED"), rows)


def _program(one: dict[str, Any]) -> str:
    """What it calls itself; one that logs in by a token is known by the name that its person gave that."""
    name = text(one, "api_token")
    return f"API token {name}" if name else device(text(one, "user_agent"))


def _what(one: dict[str, Any]) -> str:
    """What is logged in; who let in somebody else's device sees here that it was one."""
    name = "this one" if one.get("current") is True else text(one, "client_id") or "a browser"
    return f"{name}, by device code" if text(one, "via") == "device" else name


@session.command()
@click.argument("session_id", metavar="[ID]", required=False)
@click.option("--others", is_flag=True, help="All but the one of this command.")
def end(session_id: str | None, *, others: bool) -> None:
    """End a session, or all others.

    Their tokens and certificates are refused at once.

    \b
    Example:
        amrgate session end 7c9e6679-7425-40de-944b-e07fc1f90ae7
        amrgate session end --others
    """
    if others == (session_id is not None):
        raise click.UsageError("Say the ID of a session, or --others.")
    me = account()
    if session_id is None:
        me.call("DELETE", own_path(me, "sessions"))
        click.echo("All other sessions are ended.")
        return
    me.call("DELETE", own_path(me, "sessions", session_id))
    click.echo("The session is ended.")

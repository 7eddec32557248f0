"""`amrgate explain`: whether a host would let one in, and what to do if not."""

import sys
from typing import Any

import click

from ca.client import output, stepup
from ca.client.account import Account
from ca.client.commands.common import account, json_option, path, way_of_program
from ca.client.main import LOGIN_REQUIRED
from ca.client.output import text, texts
from ca.client.place import api_token
from ca.errors import NotFound
from ca.words import login_command, safe
from sshd_hook.policy import MORE_AUTHENTICATION, Decision
from sshd_hook.refusal import missing_in_words

ALLOWED, REPORT_ONLY = "allowed", "report_only"


@click.command()
@click.argument("service")
@json_option
def explain(service: str, *, as_json: bool) -> None:
    """Say whether SERVICE would let you in, and what to do.

    By your present login. What it shows of a refusal is what ssh would.

    Exit status: 0 if you are let in, 3 if you would be after another login, 1 if not.

    \b
    Example:
        amrgate explain abcdefg123456-main-bvxea6i--app
    """
    me = account()
    try:
        found = me.call("GET", path("services", service, "access"))
    except NotFound as error:
        raise NotFound(
            f"{error.message} Check the name; an admin of its project can give you a role. Some"
            " services are only there for certain networks."
        ) from error
    outcome = text(found, "outcome")
    if as_json:
        output.as_json(found)
    else:
        _show(me, found, service, outcome)
    if outcome not in (ALLOWED, REPORT_ONLY):
        sys.exit(LOGIN_REQUIRED)


def _show(me: Account, found: Any, service: str, outcome: str) -> None:
    if outcome in (ALLOWED, REPORT_ONLY):
        click.echo(f"{safe(service)} on {safe(text(found, 'host'))} lets you in.")
    for line in text(found, "text").splitlines():
        click.echo(safe(line.expandtabs()))
    amr, age = tuple(filter(stepup.is_method, texts(found, "amr"))), found.get("max_age")
    max_age = age if type(age) is int and age > 0 else None
    if outcome == REPORT_ONLY:
        click.echo("But your login lacks, which is not held against it yet:")
        for words in missing_in_words(Decision(MORE_AUTHENTICATION, amr, max_age, _missing(found))):
            click.echo(f" - {words}")
    if outcome != ALLOWED:
        click.echo(f"Next step: {_next_step(me, amr, max_age)}")


def _next_step(me: Account, amr: tuple[str, ...], max_age: int | None) -> str:
    # Who keeps a token in their own folder may log in instead; the environment's is the login.
    if api_token() and (way_on := way_of_program(me.place)):
        return way_on
    user = me.call("GET", "/users/me") if "mfa" in amr else None
    has_none = isinstance(user, dict) and user.get("mfa_enabled") is False
    enrol = "amrgate mfa setup, then " if has_none else ""
    return f"{enrol}{login_command(amr, max_age)}"


def _missing(found: Any) -> tuple[str, ...]:
    """What the authority says is missing, as far as we know of such."""
    known = ("max_age", "device")
    return tuple(one for one in texts(found, "missing") if one in known or stepup.is_method(one))

"""`amrgate org`: what an organization asks of logins."""

import json
from urllib.parse import quote

import click

from ca.client.commands.common import Length, account
from sshd_hook.refusal import duration


@click.group()
def org() -> None:
    """Your organizations."""


@org.command(name="mfa-enforcement")
@click.argument("organization")
@click.argument("action", type=click.Choice(["show", "enable", "disable"]), default="show")
@click.option("--max-age", type=Length(), help="With enable: how recent a login must be.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def mfa_enforcement(organization: str, action: str, max_age: int | None, *, as_json: bool) -> None:
    """Show or change whether ORGANIZATION asks for a second factor.

    \b
    Example:
        amrgate org mfa-enforcement acme enable --max-age 1h
    """
    if max_age is not None and action != "enable":
        raise click.UsageError("--max-age goes with enable.")
    me = account()
    path = f"/organizations/{quote(organization, safe='')}/mfa-enforcement"
    if action != "show":
        body = {} if max_age is None else {"max_age": max_age}
        me.call("POST", f"{path}/{action}", body)
    answer = me.call("GET", path)
    found = answer if isinstance(answer, dict) else {}
    enforced, age = found.get("enforce_mfa") is True, found.get("max_age")
    if as_json:
        shown = {"organization": organization, "enforce_mfa": enforced, "max_age": age}
        click.echo(json.dumps(shown))
        return
    within = f", from a login within {duration(age)}" if enforced and type(age) is int else ""
    click.echo(f"{organization}: MFA is {'' if enforced else 'not '}required{within}.")

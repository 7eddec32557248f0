"""`amrgate token`: API tokens for programs."""

import click

from ca import words
from ca.client import output
from ca.client.account import Account
from ca.client.commands.common import Length, account, json_option, own_path, path
from ca.client.output import ago, ahead, text
from ca.errors import Unavailable

_user = click.option(
    "--user",
    metavar="ID",
    help="A service user whose admin you are: `amrgate org service-users` has the ID.",
)


@click.group()
def token() -> None:
    """API tokens, for programs that cannot log in. Give one to a program as AMRGATE_API_TOKEN.

    A token keeps what the login had that made it, and ends with it: with your password, your
    second factor, and after 90 days at most.

    \b
    Example:
        amrgate token create backup --scope ssh --expires 30d > token
    """


@token.command(name="list")
@_user
@json_option
def list_(user: str | None, *, as_json: bool) -> None:
    """List the tokens; what they are is not kept anywhere.

    \b
    Example:
        amrgate token list
    """
    me = account()
    found = output.items(me.call("GET", _path(me, user)))
    if as_json:
        output.as_json(found)
        return
    rows = [
        (
            _named(one),
            text(one, "id"),
            "yes" if one.get("mfa_on_creation") is True else "no",
            ahead(one, "expires_at"),
            ago(one, "last_used_at"),
        )
        for one in found
    ]
    output.table(("NAME", "ID", "MFA", "ENDS", "USED"), rows)


@token.command()
@click.argument("name")
@click.option("--expires", type=Length(), help="How long it lasts, such as 30d; 90 days at most.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="ssh|read",
    help="Limit it to SSH certificates, or to reading; give it twice for both.",
)
@_user
@json_option
def create(
    name: str, expires: int | None, scopes: tuple[str, ...], user: str | None, *, as_json: bool
) -> None:
    """Make a token, and print it, this once. Only the token goes to standard output.

    \b
    Example:
        amrgate token create backup --scope ssh --expires 30d > token
    """
    me = account()
    asked = {"name": name, "lifetime": expires, "scope": " ".join(scopes) or None}
    body = {field: value for field, value in asked.items() if value is not None}
    made = me.call("POST", _path(me, user), body)
    secret = text(made, "token")
    if not secret.isascii() or not secret.isprintable() or not secret:
        raise Unavailable("The authority's answer holds no token. Look with `amrgate token list`.")
    if as_json:
        output.as_json(made)
        return
    click.echo(
        f"The token {words.safe(name)} ends {ahead(made, 'expires_at')}. It is shown only now:",
        err=True,
    )
    click.echo(secret)


@token.command()
@click.argument("token_id", metavar="ID")
@_user
def remove(token_id: str, user: str | None) -> None:
    """End a token, and all that it was used for.

    \b
    Example:
        amrgate token remove 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    me = account()
    me.call("DELETE", _path(me, user, token_id))
    click.echo("The token is removed, and whatever it let in is ended.")


def _named(one: object) -> str:
    """Its name, and what it is limited to: a column for that is too much for 80 characters."""
    name, scope = text(one, "name"), text(one, "scope")
    return f"{name} ({scope})" if scope else name


def _path(me: Account, user: str | None, *more: str) -> str:
    if user is None:
        return own_path(me, "api-tokens", *more)
    return path("users", user, "api-tokens", *more)

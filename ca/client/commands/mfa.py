"""`amrgate mfa`: the second factors of one's own account."""

import re
from collections.abc import Callable
from urllib.parse import quote, urlencode

import click

from ca import words
from ca.client import output
from ca.client.commands.common import account, is_interactive, json_option, own_path
from ca.client.output import ago, text, texts
from ca.errors import InvalidRequest, Unavailable

_SECRET = re.compile(r"[A-Z2-7]{16,128}=*", re.ASCII)  # base32, RFC 4648
CODES_A_LINE = 2
TRIES = 3  # of a code
APP = "app"


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def mfa(ctx: click.Context, *, as_json: bool) -> None:
    """Your second factors, and whether this login proved one.

    Passkeys and security keys are added in a browser, at the authority's page /security.

    \b
    Example:
        amrgate mfa
        amrgate mfa setup
    """
    if ctx.invoked_subcommand is not None:
        return
    me = account()
    user = me.call("GET", "/users/me")
    enabled = isinstance(user, dict) and user.get("mfa_enabled") is True
    amr = me.session().claims().get("amr")
    proved = isinstance(amr, list) and "mfa" in amr
    if as_json:
        output.as_json({"enabled": enabled, "proved": proved})
        return
    if not enabled:
        click.echo("Your account has no second factor: run `amrgate mfa setup`.")
    elif not proved:
        click.echo("Your account has a second factor, but this login did not prove it:")
        click.echo("run `amrgate login -f`.")
    else:
        click.echo("Your account has a second factor, and this login proved it.")


@mfa.command()
def setup() -> None:
    """Set up an authenticator app.

    \b
    Example:
        amrgate mfa setup
    """
    me = account()
    path = own_path(me, "totp")
    offered = me.call("GET", path)
    secret = text(offered, "secret")
    if not _SECRET.fullmatch(secret):
        raise Unavailable("The authority's answer holds no secret: tell its operator.")
    click.echo(f"(In a browser, this is at {me.session().ca}/security.)")
    _show_picture(_uri(offered, secret))
    click.echo(f"type this secret into it: {secret}\n")
    answer = _prove(lambda code: me.call("POST", path, {"secret": secret, "passcode": code}))
    click.echo("Verified and saved.")
    _show_codes(answer)
    click.echo("Now log in with it: run `amrgate login -f`.")


@mfa.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def codes(*, yes: bool, as_json: bool) -> None:
    """Make new recovery codes. The old ones are void at once.

    \b
    Example:
        amrgate mfa codes
    """
    me = account()
    if not yes and is_interactive():
        click.confirm("Make new codes, and void those that you have?", abort=True, err=True)
    answer = me.call("POST", own_path(me, "codes"))
    if as_json:
        output.as_json({"recovery_codes": texts(answer, "recovery_codes")})
        return
    _show_codes(answer)


@mfa.command()
@json_option
def keys(*, as_json: bool) -> None:
    """List your passkeys and security keys.

    \b
    Example:
        amrgate mfa keys
    """
    me = account()
    found = output.items(me.call("GET", own_path(me, "webauthn")))
    if as_json:
        output.as_json(found)
        return
    rows = [
        (
            text(one, "name"),
            "passkey" if text(one, "amr") == "swk" else "security key",
            ago(one, "last_used_at"),
            "counter fell: a copy?" if one.get("counter_fell_at") else "",
            text(one, "id"),
        )
        for one in found
    ]
    output.table(("NAME", "KIND", "USED", "NOTE", "ID"), rows)


@mfa.command()
@click.argument("factor")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(factor: str, *, yes: bool) -> None:
    """Remove a second factor.

    FACTOR is `app`, or the id of a key (`amrgate mfa keys`). All your other sessions end. The last
    one stays where an organization requires MFA.

    \b
    Example:
        amrgate mfa remove app
    """
    me = account()
    what = "the authenticator app and its recovery codes" if factor == APP else "this key"
    if not yes and is_interactive():
        click.confirm(f"Remove {what}?", abort=True, err=True)
    parts = ("totp",) if factor == APP else ("webauthn", factor)
    me.call("DELETE", own_path(me, *parts))
    click.echo(f"Removed: {what}.")


def _prove(send: Callable[[str], object]) -> object:
    """Have the app's code typed, again where it was mistyped: the app would have another secret else."""
    for left in reversed(range(TRIES)):
        code = click.prompt("The code that the app shows").replace(" ", "")
        try:
            return send(code)
        except InvalidRequest as error:
            if not left:
                raise
            click.echo(error.message, err=True)
    raise AssertionError


def _uri(offered: object, secret: str) -> str:
    """What the app reads from the picture (the key URI format that all apps share)."""
    issuer = re.sub(r"^https?://", "", text(offered, "issuer") or "amrgate")
    label = quote(f"{issuer}:{text(offered, 'account_name')}")
    return f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': issuer})}"


def _show_picture(uri: str) -> None:
    """Draw it, if the terminal is wide enough: a picture that wraps cannot be scanned."""
    import io

    import segno

    picture = io.StringIO()
    segno.make(uri, error="l").terminal(picture, compact=True)
    drawn = picture.getvalue()
    if max(map(len, drawn.splitlines())) > output.width():
        click.echo("In your authenticator app (this terminal is too narrow for its picture)")
        return
    click.echo("Scan this code with your authenticator app\n")
    click.echo(drawn)
    click.echo("or ", nl=False)


def _show_codes(answer: object) -> None:
    shown = [words.safe(code) for code in texts(answer, "recovery_codes")]
    if not shown:
        return
    click.echo("\nKeep these recovery codes: each lets you in once without the app, and they are")
    click.echo("not shown again.\n")
    for start in range(0, len(shown), CODES_A_LINE):
        click.echo("    " + "    ".join(shown[start : start + CODES_A_LINE]))
    click.echo()

"""`amrgate mfa`: the authenticator app of one's own account."""

import json
import re
from urllib.parse import quote, urlencode

import click

from ca.client import terminal
from ca.client.commands.common import account
from ca.errors import Unavailable

_SECRET = re.compile(r"[A-Z2-7]{16,128}=*", re.ASCII)  # base32, RFC 4648
CODES_A_LINE = 2


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def mfa(ctx: click.Context, *, as_json: bool) -> None:
    """Say whether your account has a second factor, and whether this login proved it.

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
        click.echo(json.dumps({"enabled": enabled, "proved": proved}))
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
    path = f"/users/{me.session().user_id()}/totp"
    offered = me.call("GET", path)
    secret = offered.get("secret") if isinstance(offered, dict) else None
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
        raise Unavailable("The authority's answer holds no secret: tell its operator.")
    click.echo(f"(In a browser, this is at {me.session().ca}/security.)")
    click.echo("Scan this code with your authenticator app\n")
    click.echo(_drawn(_uri(offered, secret)))
    click.echo(f"or type this secret into it: {secret}\n")
    code = click.prompt("The code that the app shows").replace(" ", "")
    answer = me.call("POST", path, {"secret": secret, "passcode": code})
    click.echo("Verified and saved.")
    _show_codes(answer)
    click.echo("Now log in with it: run `amrgate login -f`.")


def _uri(offered: dict[str, object], secret: str) -> str:
    """What the app reads from the picture (the key URI format that all apps share)."""
    issuer = re.sub(r"^https?://", "", str(offered.get("issuer", "amrgate")))
    label = quote(f"{issuer}:{offered.get('account_name', '')}")
    return f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': issuer})}"


def _drawn(text: str) -> str:
    import io

    import segno

    picture = io.StringIO()
    segno.make(text, error="l").terminal(picture, compact=True)
    return picture.getvalue()


def _show_codes(answer: object) -> None:
    codes = answer.get("recovery_codes") if isinstance(answer, dict) else None
    if not isinstance(codes, list) or not codes:
        return
    click.echo("\nKeep these recovery codes: each lets you in once without the app, and they are")
    click.echo("not shown again.\n")
    shown = [terminal.safe(str(code)) for code in codes]
    for start in range(0, len(shown), CODES_A_LINE):
        click.echo("    " + "    ".join(shown[start : start + CODES_A_LINE]))
    click.echo()

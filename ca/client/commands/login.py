"""`amrgate login` and `amrgate logout`."""

import sys
import time
from itertools import chain

import click

from ca import words
from ca.client import certificates, files, place, session
from ca.client.account import AUTHORITY, Account, refuse
from ca.client.commands import common
from ca.client.commands.common import Authority, Length, Methods, authority_of
from ca.client.commands.whoami import describe
from ca.client.login import Wish, has_browser, is_remote, replace_session
from ca.client.place import API_TOKEN, Place
from ca.errors import CAError, NotAuthenticated

MAX_TOKEN = 4096  # characters of an API token


@click.command()
@click.option("-f", "--force", is_flag=True, help="Ask for every factor, even if logged in.")
@click.option(
    "--ca", type=Authority(), envvar=AUTHORITY, help="The certificate authority; remembered."
)
@click.option(
    "--method",
    "methods",
    type=Methods(),
    multiple=True,
    help="What must be proved: mfa, sso:PROVIDER. Several: repeat it, or put commas between.",
)
@click.option("--max-age", type=Length(), help="How recently it must be proved: 600, 10m, 1h.")
@click.option("--device", is_flag=True, help="By a code that you type on another device.")
@click.option("--api-token", is_flag=True, help="For programs: read a token from standard input.")
@click.option("--no-browser", is_flag=True, help="Only show the page's address.")
def login(  # noqa: PLR0913 one for each option
    ca: str | None,
    methods: tuple[tuple[str, ...], ...],
    max_age: int | None,
    *,
    force: bool,
    device: bool,
    api_token: bool,
    no_browser: bool,
) -> None:
    """Log in by the browser, and get an SSH certificate.

    The login that was before ends only when the new one is there. Organizations that require
    more than a password do not take a login by --device unless they say so. A program may have
    its API token in the environment instead, as AMRGATE_API_TOKEN: then it needs no `login`.

    \b
    Example:
        amrgate login --ca https://ca.example
        amrgate login --method mfa --max-age 10m
        amrgate login --device
        amrgate login --api-token < token

    Exit status: 3 when you are not logged in.
    """
    common.refuse_with_token()
    here, wish = place.find(), Wish(tuple(chain(*methods)), max_age, force)
    asked = wish != Wish()
    if device + api_token + no_browser > 1 or (api_token and asked):
        raise click.UsageError("These options do not go together.")
    authority = ca or authority_of(here)
    if api_token:
        _log_in_by_token(here, authority)
    elif not (device or asked) and (who := _is_logged_in(here, authority)):
        click.echo(f"You are already logged in as {who}. `amrgate login -f` logs in anew.")
        return
    elif device or (not no_browser and _wants_code(wish)):
        common.authenticate_by_device(here, authority, wish)
    else:
        common.authenticate(here, authority, wish, browser=not no_browser)
    _tell(here)


@click.command()
def logout() -> None:
    """End the login, and remove key and certificate.

    \b
    Example:
        amrgate logout
    """
    here = place.find()
    certificates.remove(here)
    try:
        present = session.load(here)
    except NotAuthenticated:
        click.echo("You were not logged in.")
        return
    files.remove(here.session)
    try:
        session.revoke(present)
    except CAError as error:
        raise type(error)(
            f"Your tokens are gone from this machine, but not revoked: {error.message}"
        ) from error
    click.echo("You are logged out.")
    if place.api_token():
        click.echo(
            f"But {API_TOKEN} in the environment logs each command in again: unset it.", err=True
        )


def _log_in_by_token(here: Place, authority: str) -> None:
    if sys.stdin.isatty():
        token = click.prompt("API token", hide_input=True, err=True)
    else:
        token = sys.stdin.read(MAX_TOKEN)
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise click.UsageError("There is no API token in standard input.")
    replace_session(here, session.exchange_api_token(authority, token))
    certificates.replace(Account(here, refuse))


def _wants_code(wish: Wish) -> bool:
    """Whether a person whose browser is not here takes another device."""
    if has_browser() or not common.is_interactive():
        return False
    if not is_remote():
        # A window system may still reach us from outside, as that of a container's host does.
        if not wish.amr:
            click.echo("(No browser on this machine? `amrgate login --device`.)", err=True)
        return False
    if wish.amr:  # a login by a code is usually refused where a method is required
        click.echo(
            "The page must be opened on this machine, or its port be forwarded here"
            " (ssh -L PORT:127.0.0.1:PORT).",
            err=True,
        )
        return False
    click.echo("No browser can be opened here.", err=True)
    return click.confirm("Log in by a code on another device?", default=True, err=True)


def _tell(here: Place) -> None:
    """What this login is, and how long it lasts."""
    me = Account(here, refuse)
    claims = me.session().claims()
    amr = claims.get("amr")
    proved = [str(value) for value in amr] if isinstance(amr, list) else []
    by = ", by a code on another device" if claims.get("via") == "device" else ""
    click.echo(f"You are logged in as {describe(me)}.")
    if proved:
        click.echo(f"Proved: {words.methods(proved)}{by}.")
    certificate = certificates.present(here)
    if certificate is not None:
        left = words.roughly(max(0, certificate.valid_before - int(time.time())))
        click.echo(f"Your certificate is good for {left}, and is renewed while the login lasts.")
    if not here.ssh_config.exists():
        click.echo("`amrgate ssh-config install` makes plain ssh use your certificate.")


def _is_logged_in(here: Place, authority: str) -> str:
    """Who is logged in at this authority; empty if nobody is."""
    try:
        if session.load(here).ca != authority:
            return ""
        who = describe(Account(here, refuse))
        certificates.renew_if_needed(Account(here, refuse))
    except NotAuthenticated:
        return ""
    return who

"""`amrgate login` and `amrgate logout`."""

import click

from ca.client import certificates, files, place, session
from ca.client.account import Account, refuse
from ca.client.commands.common import Authority, Length, Methods, authenticate, authority_of
from ca.client.commands.whoami import describe
from ca.client.login import Wish
from ca.client.place import Place
from ca.errors import CAError, NotAuthenticated


@click.command()
@click.option("-f", "--force", is_flag=True, help="Ask for every factor, even if logged in.")
@click.option("--ca", type=Authority(), help="The certificate authority; remembered.")
@click.option("--method", type=Methods(), default=(), help="What must be proved: mfa,sso:acme.")
@click.option("--max-age", type=Length(), help="How recently it must be proved, such as 5m.")
@click.option("--no-browser", is_flag=True, help="Only show the page's address.")
def login(
    ca: str | None, method: tuple[str, ...], max_age: int | None, *, force: bool, no_browser: bool
) -> None:
    """Log in by the browser, and get an SSH certificate.

    The login that was before ends only when the new one is there.

    \b
    Example:
        amrgate login --ca https://ca.example
        amrgate login --method mfa --max-age 5m
    """
    here = place.find()
    authority = ca or authority_of(here)
    wish = Wish(method, max_age, force)
    if wish == Wish() and (who := _is_logged_in(here, authority)):
        click.echo(f"You are already logged in as {who}. `amrgate login -f` logs in anew.")
        return
    authenticate(here, authority, wish, browser=not no_browser)
    click.echo(f"You are logged in as {describe(Account(here, refuse))}.")
    if not here.ssh_config.exists():
        click.echo("`amrgate ssh-config install` makes plain ssh use your certificate.")


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

"""What the commands share: options, and the step-up as it is offered to a person."""

import sys
from typing import Any

import click

from ca.client import place, terminal, web
from ca.client.account import Account, is_method
from ca.client.login import Wish, log_in, open_browser
from ca.client.place import Place, read_json
from ca.client.session import Session
from ca.errors import InsufficientAuthentication, InvalidRequest


class Length(click.ParamType[int]):
    """A length of time such as 5m, in seconds."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it, unless click hands over what was read before."""
        if isinstance(value, int):
            return value
        try:
            return terminal.seconds(value)
        except InvalidRequest as error:
            self.fail(f"{value!r} {error.message}", param, ctx)


class Methods(click.ParamType[tuple[str, ...]]):
    """Values of amr with commas between them, as a tuple."""

    name = "methods"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Read them."""
        if isinstance(value, tuple):
            return value
        methods = tuple(value.split(","))
        if not all(is_method(method) for method in methods):
            self.fail(
                f"{value!r} must be mfa or sso:PROVIDER, or both, as mfa,sso:acme.", param, ctx
            )
        return methods


class Authority(click.ParamType[str]):
    """The URL of a certificate authority."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it."""
        try:
            return web.check_url(value)
        except InvalidRequest as error:
            self.fail(f"{value!r} {error.message}", param, ctx)


def account() -> Account:
    """Who is logged in; where a call needs more, the person is asked to log in for it."""
    return Account(place.find(), offer)


def offer(error: InsufficientAuthentication) -> None:
    """Log in as the error asks, if there is a person who wants to.

    Raises:
        InsufficientAuthentication: there is none, or they do not.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise error
    click.echo(terminal.requirement(error.amr, error.max_age), err=True)
    if not click.confirm("Log in for it now?", default=True, err=True):
        raise error
    here = place.find()
    authenticate(here, authority_of(here), Wish(error.amr, error.max_age))


def authenticate(here: Place, ca: str, wish: Wish, *, browser: bool = True) -> Session:
    """Log in, saying where, and get a certificate for a new key."""
    from ca.client import certificates

    def show(url: str) -> None:
        opened = browser and open_browser(url)
        lead = "Log in on the page that opens, or on" if opened else "Open this page and log in"
        click.echo(f"{lead}:\n\n    {url}\n", err=True)

    session = log_in(here, ca, wish, show)
    certificates.replace(Account(here, offer))
    return session


def authority_of(here: Place) -> str:
    """The authority of the login, or of the last one.

    Raises:
        UsageError: none is known.
    """
    ca = read_json(here.config).get("ca")
    if not isinstance(ca, str):
        raise click.UsageError("No authority is known: say `amrgate login --ca https://…` once.")
    return web.check_url(ca)

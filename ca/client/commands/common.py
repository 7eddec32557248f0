"""What the commands share: options, and how a person is asked to log in."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import click

from ca import words
from ca.client import account as accounts
from ca.client import device, login, place, stepup, web
from ca.client.account import Account
from ca.client.device import Offer
from ca.client.login import Wish
from ca.client.place import API_TOKEN, Place
from ca.client.session import Session
from ca.errors import InsufficientAuthentication, InvalidRequest, NotAuthenticated

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Length(click.ParamType[int]):
    """A length of time such as 5m, in seconds."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it, unless click hands over what was read before."""
        if isinstance(value, int):
            return value
        try:
            return words.seconds(value)
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
        if not all(stepup.is_method(method) for method in methods):
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


def own_path(me: Account, *more: str) -> str:
    """The path of the person's own user, and what is below it."""
    return path("users", me.session().user_id(), *more)


def path(*parts: str) -> str:
    """A path of the API: what people typed is one part of it, whatever it holds."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def offer(error: InsufficientAuthentication) -> None:
    """Log in as the error asks, if there is a person who wants to.

    Raises:
        InsufficientAuthentication: there is none, or they do not.
    """
    here = place.find()
    what = stepup.sentence(error.amr, error.max_age)
    if way_on := way_of_program(here):
        raise InsufficientAuthentication(f"{what} {way_on}", error.amr, error.max_age)
    if not is_interactive():
        raise error
    click.echo(what, err=True)
    if not click.confirm("Log in now?", default=True, err=True):
        raise error
    authenticate(here, authority_of(here), Wish(error.amr, error.max_age))


def is_interactive() -> bool:
    """Whether there is a person who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def authenticate(here: Place, ca: str, wish: Wish, *, browser: bool = True) -> Session:
    """Log in by a browser, saying where, and get a certificate for a new key."""
    from ca.client import certificates

    def show(url: str) -> None:
        opened = browser and login.open_browser(url)
        lead = "Log in on the page that opens, or on" if opened else "Open this page and log in"
        click.echo(f"{lead}:\n\n    {url}\n", err=True)

    session = login.log_in(here, ca, wish, show)
    certificates.replace(Account(here, offer))
    return session


def authenticate_by_device(here: Place, ca: str, wish: Wish) -> Session:
    """Log in by a code that is typed on another device, and get a certificate for a new key."""
    from ca.client import certificates

    def show(offered: Offer) -> None:
        click.echo(
            f"On any device, open\n\n    {offered.address}\n\nlog in there, and type this code:"
            f"\n\n    {offered.user_code}\n",
            err=True,
        )

    with _waiting() as wait:
        session = device.log_in(here, ca, wish, show, wait)
    certificates.replace(Account(here, offer))
    return session


@contextmanager
def _waiting() -> Iterator[Any]:
    """A function that passes some seconds, and shows at a terminal how many are left."""
    import time

    from rich.console import Console
    from rich.status import Status

    console = Console(stderr=True, highlight=False)
    status = Status("", console=console)

    def wait(offered: Offer, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            if console.is_terminal:
                left = max(1, offered.seconds_left())
                status.update(f"Waiting for you there: {words.roughly(left)} left.")
                status.start()
            time.sleep(min(rest, 1))

    try:
        yield wait
    finally:
        status.stop()


def authority_of(here: Place) -> str:
    """The authority of the login, or of the last one.

    Raises:
        UsageError: none is known.
    """
    try:
        return accounts.authority_of(here)
    except InvalidRequest as error:
        raise click.UsageError(error.message) from error


def way_of_program(here: Place) -> str:
    """What helps a program whose API token is not enough; empty for a person, who logs in."""
    from ca.client import session

    try:
        present = session.load(here)
    except NotAuthenticated:
        return ""
    if not (place.api_token() or present.api_token):
        return ""
    if not present.claims().get("amr"):
        return "A service user logs in no other way: an owner of the organization can exempt it."
    return "An API token keeps what its login had: make another after a login that does."


def refuse_with_token() -> None:
    """Stop a command that would change the login that the environment decides.

    Raises:
        UsageError: an API token is in the environment.
    """
    if place.api_token():
        raise click.UsageError(f"{API_TOKEN} is set: it is the login. Unset it for another.")

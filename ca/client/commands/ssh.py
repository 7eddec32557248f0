"""`amrgate ssh`."""

import sys
from urllib.parse import urlsplit

import click

from ca.client import certificates, connection
from ca.client.account import Account
from ca.client.commands.common import account, offer, path
from ca.errors import NotFound, Unavailable
from ca.words import safe

SAY_HOST = "If you know its host, say `amrgate ssh SERVICE@HOST`."
FLAGS_WITH_VALUE = "BbcDEeFIiJLlmOopQRSWw"  # of ssh(1)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument(
    "words", nargs=-1, type=click.UNPROCESSED, metavar="[SSH OPTIONS] SERVICE [COMMAND]"
)
def ssh(words: tuple[str, ...]) -> None:
    """Connect to a service with your certificate.

    It is renewed if it has ended. SERVICE is its name, with `@` and its host behind if you know it:
    otherwise the authority is asked. What stands before and after goes to ssh as it is. A host that
    asks for more than your login proves is answered by another login, if you want to; then ssh tries
    again.

    \b
    Example:
        amrgate ssh abcdefg123456-main-bvxea6i--app
        amrgate ssh -L 5432:127.0.0.1:5432 abcdefg123456-main-bvxea6i--app@ssh.example uptime

    Exit status: that of ssh; 3 when you must log in for more.
    """
    before, service, after = _split(words)
    me = account()
    me.check_login()  # without one there is nothing to do
    me.place.make()
    certificates.renew_if_needed(me)
    arguments = (*before, service if "@" in service else _with_host(me, service), *after)
    status, asked = connection.connect(me.place, arguments)
    if asked is not None:
        offer(asked)
        status, asked = connection.connect(me.place, arguments)
        if asked is not None:
            raise asked
    sys.exit(status)


def _split(words: tuple[str, ...]) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """The options before the service, the service, and what follows."""
    position = 0
    while position < len(words) and words[position].startswith("-") and words[position] != "--":
        takes_next = _takes_next(words[position])
        position += 2 if takes_next else 1
    if position >= len(words) or words[position] == "--":
        raise click.UsageError("Which service? See `amrgate ssh --help`.")
    return words[:position], words[position], words[position + 1 :]


def _takes_next(option: str) -> bool:
    """Whether the value of the option is the next word: "-p" and "-vp", but not "-p22"."""
    for index, letter in enumerate(option[1:], start=1):
        if letter in FLAGS_WITH_VALUE:
            return index == len(option) - 1
    return False


def _with_host(me: Account, service: str) -> str:
    """The service with the host that serves it, as the authority knows it.

    Raises:
        NotFound: it does not, or will not tell.
    """
    project = service.split("-", 1)[0]
    try:
        found = me.call("GET", path("projects", project, "environments"))
    except Unavailable as error:
        raise Unavailable(f"{error.message} {SAY_HOST}") from error
    for environment in found if isinstance(found, list) else []:
        links = environment.get("_links") if isinstance(environment, dict) else None
        for link in links.values() if isinstance(links, dict) else []:
            address = link.get("href") if isinstance(link, dict) else None
            if isinstance(address, str) and (host := _host_of(address, service)):
                return f"{service}@{host}"
    raise NotFound(
        f"The service {safe(service)} doesn't exist or you do not have access to it. {SAY_HOST}"
    )


def _host_of(address: str, service: str) -> str:
    """The host in `ssh://service@host`; empty if the address is another's, or none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    host = parts.hostname or ""
    fits = parts.scheme == "ssh" and parts.username == service
    # It becomes a word of ssh's command line.
    sound = host.isascii() and host.replace("-", "").replace(".", "").isalnum()
    return host if fits and sound and not host.startswith("-") else ""

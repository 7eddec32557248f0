"""What names and texts in a file must look like, each test with its words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ca.identity.sso.networks import Networks, Refused
from sshd_hook import names

if TYPE_CHECKING:
    from collections.abc import Callable

_USERNAME = names.LOWER | names.DIGITS | frozenset("._-")
_EMAIL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.!#$%&'*+/=?^_`{|}~-")
MAX_USERNAME = 64
MAX_EMAIL = 254
MAX_TITLE = 64
MAX_HOST = 64
MAX_PORT = 65535
MAX_CLIENT = 255  # characters
MAX_WORD = 64  # characters
MAX_WORDS = 16
LOOPBACK = Networks(("127.0.0.0/8", "::1/128"))


class Form(NamedTuple):
    """A test of a text, and what passes it, in words that follow "is not"."""

    fits: Callable[[str], bool]
    words: str


def one_of(words: tuple[str, ...]) -> Form:
    """The form of what is one of `words`."""
    return Form(words.__contains__, f"{', '.join(words[:-1])} or {words[-1]}")


def is_username(text: str) -> bool:
    """A name to log in with."""
    return 0 < len(text) <= MAX_USERNAME and _USERNAME.issuperset(text) and text[0].isalnum()


def is_email(text: str) -> bool:
    """An address of the usual form (of RFC 5322 without quotes and comments)."""
    local, _, domain = text.lower().rpartition("@")
    # An encoded word (RFC 2047) is read as what is in it: mail would go to another address.
    plain = _EMAIL.issuperset(local) and "=?" not in local
    return bool(local) and plain and len(text) <= MAX_EMAIL and is_host(domain)


def is_host(text: str) -> bool:
    """A host name in lower case, or an IPv4 address; no wildcard."""
    labels = text.split(".")
    return len(text) <= MAX_HOST and all(
        label
        and (names.LOWER | names.DIGITS | {"-"}).issuperset(label)
        and not label.startswith("-")
        and not label.endswith("-")
        for label in labels
    )


def is_title(text: str) -> bool:
    """A text for people."""
    return 0 < len(text) <= MAX_TITLE and text.isprintable()


def is_forward(text: str) -> bool:
    """`host:port`, as sshd's permitopen has it."""
    host, _, port = text.rpartition(":")
    return is_host(host) and port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT


def is_client_id(text: str) -> bool:
    """What a provider calls us."""
    return 0 < len(text) <= MAX_CLIENT and text.isprintable()


def is_word(text: str) -> bool:
    """A scope, or a value of a provider's `amr`."""
    plain = text.isascii() and text.isprintable() and " " not in text
    return 0 < len(text) <= MAX_WORD and plain


def is_issuer(text: str, networks: Networks) -> bool:
    """The URL of a provider that may be in `networks`."""
    try:
        networks.check_url(text)
    except Refused:
        return False
    return len(text) <= MAX_CLIENT and "?" not in text


USERNAME = Form(is_username, "a user name: lower-case letters, digits, and . _ - after the first")
EMAIL = Form(is_email, "an e-mail address")
HOST = Form(is_host, f"a host name: lower case, at most {MAX_HOST} characters")
TITLE = Form(is_title, f"a text of at most {MAX_TITLE} printable characters")
FORWARD = Form(is_forward, "host:port")
LABEL = Form(names.is_label, "a label: lower-case letters, digits, single hyphens between them")
SLUG = Form(names.is_slug, "a slug: lower-case letters, digits and hyphens, at most 32")
PROJECT = Form(
    names.is_project, "a project id: 13 lower-case letters and digits, a letter first, with a digit"
)
DISPLAY_NAME = Form(
    names.is_display_name, 'a name of at most 64 printable characters without # " \\ ( )'
)
CLIENT_ID = Form(is_client_id, f"a text of at most {MAX_CLIENT} printable characters")
WORD = Form(is_word, f"a word of at most {MAX_WORD} characters")
# Whether the operator has providers on the machine itself is seen when they are asked.
ISSUER = Form(
    lambda text: is_issuer(text, LOOPBACK),
    "an https URL as the provider writes it, without a query",
)

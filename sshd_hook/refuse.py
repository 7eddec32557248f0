"""The two ways in which somebody is told that they may not come in.

`refuse WORD` is the forced command of a refusing line: it runs as the service's account, and all
that it knows is the word. `refused PID START` is what the account program asks, as root, when it
finds no verdict "allowed" for a connection. Both check everything before they show any of it.
"""

import binascii
import posix
import sys
import syslog
from posix import _exit

from sshd_hook.log import log
from sshd_hook.names import DIGITS, is_project, parse_service
from sshd_hook.paths import RUN, UntrustedError, check_folders
from sshd_hook.refusal import MAX_FIELDS, Refusal, from_fields, render, to_fields
from sshd_hook.verdict import REFUSED, VerdictError, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

MAX_WORD = MAX_FIELDS * 4 // 3 + 2  # characters
_WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_CONNECTION = DIGITS | {"."}
STDOUT, STDERR = 1, 2


def to_word(refusal: Refusal) -> str:
    """The refusal as one word: base64url without padding (RFC 4648, section 5)."""
    fields = binascii.b2a_base64(to_fields(refusal), newline=False).decode()
    return fields.rstrip("=").replace("+", "-").replace("/", "_")


def from_word(word: str) -> Refusal:
    """Read back what `to_word` wrote.

    Raises:
        ValueError: this is not it.
    """
    if len(word) > MAX_WORD or not _WORD.issuperset(word):
        raise ValueError("not a word of this alphabet")
    padding = "=" * (-len(word) % 4)
    refusal = from_fields(binascii.a2b_base64(word.replace("-", "+").replace("_", "/") + padding))
    if to_word(refusal) != word:
        raise ValueError("not written as it must be")
    return refusal


def refuse() -> "NoReturn":
    """The forced command: show the text on standard error."""
    try:
        (word,) = sys.argv[1:]
        posix.write(STDERR, render(from_word(word)).encode())
    finally:
        _exit(1)  # also where there is no text: a traceback would be none


def refused() -> "NoReturn":
    """The account program's question: 0 lets in, 1 does not; the text is for the client."""
    status = 1
    try:
        status = _answer(posix.environ.get(b"PAM_USER", b"").decode("ascii", "replace"))
    finally:
        _exit(status)


def _answer(name: str) -> int:
    """Show the connection's refusal, and return the exit status.

    Names that are not of our grammar are the machine's own and none of our business.
    """
    if name and parse_service(name) is None and not is_project(name):
        return 0
    try:
        pid, start = sys.argv[1:]
        text = render(read_refusal(f"{pid}.{start}", name))
    except (VerdictError, UntrustedError, OSError, ValueError) as error:
        log("no_verdict", syslog.LOG_NOTICE, {"service": name}, str(error))
        return 1
    posix.write(STDOUT, text.encode())
    return 1


def read_refusal(connection: str, service: str) -> Refusal:
    """The refusal that the hook left for a connection to a service.

    Raises:
        VerdictError, UntrustedError, OSError, ValueError: there is none of the hook's.
    """
    if not _CONNECTION.issuperset(connection):
        raise ValueError("not a process and its start time")
    check_folders(RUN)
    refusal = from_fields(read(connection, REFUSED))
    if refusal.service != service:
        raise VerdictError("the verdict is about another service")
    return refusal

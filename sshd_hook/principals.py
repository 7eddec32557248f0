"""What sshd asks at each login: may the holder of this certificate come in by this name?

sshd runs it twice for each login, and for anybody who has the public half of a certificate. So it
does what is cheap first, prints one line or nothing, and answers the same to the same question.
It prints a line that lets in, a line that only shows a refusal, or nothing: for every doubt.
"""

import posix
import sys
import syslog
import time
from posix import _exit  # nothing to flush, and taking Python down costs a millisecond

from sshd_hook import entry, verdict
from sshd_hook.answer import MAX_UID_DIGITS, Answer, DeniedError, Policy, answer_to
from sshd_hook.bundle import from_fd
from sshd_hook.freshness import MAX_STATEMENT
from sshd_hook.freshness import parse as parse_freshness
from sshd_hook.log import MAX_DECISIONS, log_decision
from sshd_hook.names import DIGITS, is_user_id, parse_service
from sshd_hook.paths import (
    BUNDLE,
    CONFIGURATION,
    ENTRY,
    FRESH,
    POLICY,
    SHARED_UID,
    UntrustedError,
    check_folders,
    open_trusted,
    read_trusted,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SECONDS = 3  # until the alarm ends the process, and sshd takes that for no
MEMORY = 256 << 20  # bytes of address space; the interpreter alone takes about 20 MB
FILE_SIZE = MAX_DECISIONS  # bytes that a file may grow to: a verdict has less
MAX_SERIAL_DIGITS = 20
STDOUT = 1


def read_policy() -> Policy:
    """What is installed on this host. The bundle stays open.

    Raises:
        DeniedError: a part of it is missing, damaged, or could have been written by others.
    """
    try:
        check_folders(POLICY)
        return Policy(
            from_fd(*open_trusted(BUNDLE)),
            parse_freshness(read_trusted(FRESH, MAX_STATEMENT)),
            _uid(read_trusted(SHARED_UID, MAX_UID_DIGITS + 1)),
            _read_entries(),
        )
    except OSError as error:
        raise DeniedError("policy_missing", "the policy cannot be opened") from error
    except UntrustedError as error:
        raise DeniedError("policy_untrusted", str(error)) from error
    except ValueError as error:
        raise DeniedError("policy_damaged", str(error)) from error


def _read_entries() -> str:
    """The operator's file of entries; empty if there is none.

    Raises:
        OSError, UntrustedError: it is there, but is not to be read or trusted.
        DeniedError: it is empty, as while somebody writes it anew: sessions would be on the host.
    """
    try:
        data = read_trusted(ENTRY, entry.MAX_SIZE)
    except FileNotFoundError:
        return ""
    check_folders(CONFIGURATION)
    if not data:
        raise DeniedError("entry_damaged", f"{ENTRY} is empty: remove it if there is to be none")
    return data.decode("utf-8", "replace")


def _uid(text: bytes) -> str:
    uid = text.decode("ascii").removesuffix("\n")
    if not uid or not DIGITS.issuperset(uid):
        raise ValueError("the shared uid is not a number")
    return uid


def main() -> "NoReturn":
    """Answer sshd. Whatever goes wrong: nothing printed, one line in the log, exit 1."""
    status = 1
    try:
        _limit()
        _run(sys.argv[1:], int(time.time()))
        status = 0
    except DeniedError as denied:
        log_decision(denied.code, syslog.LOG_NOTICE, _asked_for(sys.argv), denied.reason)
    except BaseException as error:  # noqa: BLE001 -- a traceback would be no answer
        log_decision("internal", syslog.LOG_ERR, {"error": type(error).__name__})
    finally:
        _exit(status)


def _asked_for(arguments: "list[str]") -> "dict[str, str]":
    """The service, user and serial that sshd asked about, each if it has the alphabet of one."""
    name, user, serial = "".join(arguments[1:2]), "".join(arguments[3:4]), "".join(arguments[4:5])
    details = {} if parse_service(name) is None else {"service": name}
    if is_user_id(user):
        details["user"] = user
    if 0 < len(serial) <= MAX_SERIAL_DIGITS and DIGITS.issuperset(serial):
        details["serial"] = serial
    return details


def _limit() -> None:
    """Give up after a while, and need no more than this answer can take."""
    # `signal` itself makes enumerations of what is in this one.
    import _signal  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]
    import resource

    _signal.alarm(SECONDS)
    for kind, most in (
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
    ):
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))


def _run(arguments: "list[str]", now: int) -> None:
    """Remove the old verdict, decide, leave the new one, print: in this order.

    Raises:
        DeniedError: no step may be left out, so there is no answer.
    """
    try:
        posix.fstat(STDOUT)  # if it is closed, the next file opened would be taken for it
        connection = verdict.parent()
        folder = verdict.open_folder()
        verdict.remove(folder, connection)
    except (verdict.VerdictError, OSError) as error:
        raise DeniedError("no_verdict_folder", "an old verdict could not be removed") from error
    answer = answer_to(arguments, now, read_policy)
    try:
        _deliver(answer, folder, connection)
    except BaseException as error:
        verdict.remove(folder, connection)
        raise DeniedError("not_answered", "the verdict or the line was not written") from error


def _deliver(answer: Answer, folder: int, connection: str) -> None:
    verdict.leave(folder, connection, answer.ending, answer.note)
    log_decision(answer.code, syslog.LOG_INFO, answer.details)
    _print(answer.line.encode("ascii"))


def _print(line: bytes) -> None:
    posix.set_blocking(STDOUT, False)  # who does not read gets no answer, rather than a wait
    try:
        if posix.write(STDOUT, line) != len(line):
            raise OSError("only a part of the answer was taken")
    finally:
        posix.set_blocking(STDOUT, True)

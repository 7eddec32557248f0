"""Users and names: the name service, our user database, and whose names and uids are whose."""

from __future__ import annotations

from sshd_hook import accounts, hostfiles, paths, preflight, questions
from sshd_hook.doctor import examined, pam
from sshd_hook.doctor.examined import Unknown
from sshd_hook.doctor.findings import Finding
from sshd_hook.hostfiles import DATABASES, INITGROUPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sshd_hook.doctor.examined import Examined

UID_FIELD = 2


def check_users(host: Examined) -> Iterator[Finding]:
    """The two system users of ours."""
    for name in (paths.HOOK_USER, paths.USERDB_USER):
        if name not in host.users:
            yield Finding("user-missing", name)


def check_switch(_host: Examined) -> Iterator[Finding]:
    """That enrolling would write nothing more into the name service's file."""
    for database in _wanted():
        yield Finding(f"nsswitch-{database}")


def check_user_database(host: Examined) -> Iterator[Finding]:
    """That ours answers, and soon."""
    for path, seconds in host.userdb_seconds.items():
        if seconds is None:
            yield Finding("userdb-down", path)
        elif seconds > examined.USERDB_SLOW:
            yield Finding("userdb-slow", f"{seconds:.2f} s for an answer at {path}")


def check_resolution(host: Examined) -> Iterator[Finding]:
    """That names of services lead to our accounts, through all of the name service."""
    host.check_name_service()
    if "passwd" not in _wanted():
        wanted = {questions.PROBE: host.accounts.shared}
        wanted.update(list(host.live_services.items())[:1])
        for name, uid in wanted.items():
            entry = (examined.ask(("getent", "passwd", name)) or "").split(":")
            if entry[UID_FIELD : UID_FIELD + 1] != [str(uid)]:
                yield Finding("names-unresolved", name)
                return
    if "shadow" not in _wanted() and not _has_shadow():
        yield Finding("shadow-unanswered", questions.PROBE)


def check_map(host: Examined) -> Iterator[Finding]:
    """The map of uids, and the hook's copy of its first line."""
    try:
        shared = host.accounts.shared
    except Unknown as error:
        yield Finding("uid-map-bad", str(error.__cause__))
        return
    with open(paths.SHARED_UID, encoding="ascii", errors="replace") as file:
        text = file.read().strip()
    if text != str(shared):
        yield Finding("shared-uid-wrong", f"{text!r}, not {shared}")


def check_uids(host: Examined) -> Iterator[Finding]:
    """Whether others have uids or gids of our range."""
    host.check_name_service()
    first = host.accounts.shared
    for start, count in sorted(preflight.taken_ids()):
        if start < first + accounts.RANGE and first < start + count:
            yield Finding("uid-range-taken", f"{start} to {start + count - 1}")
            return


def _wanted() -> list[str]:
    """The databases whose lines enrolling would change."""
    with open(hostfiles.NSSWITCH, encoding="utf-8", errors="replace") as file:
        text = file.read()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    # Without its comments nothing of what enrolling noted is put back first.
    enrolled = hostfiles.add_name_service("".join(f"{line}\n" for line in lines)).splitlines()
    names = {line.partition(":")[0].strip() for line in enrolled if line not in lines}
    # What it added follows `group`, to which a directory may have been added since.
    again = hostfiles.add_name_service(text)
    if hostfiles.sources(again, INITGROUPS) != hostfiles.sources(text, INITGROUPS):
        names.add(INITGROUPS)
    return [name for name in DATABASES if name in names]


def _has_shadow() -> bool:
    """Whether PAM's own module finds services, or is passed over for them."""
    passed_over = any("success=done" in words[1] for words in pam.account_lines())
    return passed_over or examined.ask(("getent", "shadow", questions.PROBE)) is not None


CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (
    check_users,
    check_switch,
    check_user_database,
    check_resolution,
    check_map,
    check_uids,
)

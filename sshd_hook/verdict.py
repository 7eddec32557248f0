"""The hook's note to the account program: who may come in by which connection.

sshd runs both as children of the same process. So the note is a file named after that parent:
`<its pid>.<its start time>.allowed` or `.refused`, in a folder on tmpfs that only the hook writes.
The allowed ones stay while their process lives: together they are the list of open connections.
"""

import posix

from sshd_hook.certificate import is_amr_value
from sshd_hook.names import DIGITS, is_user_id, parse_service
from sshd_hook.paths import VERDICTS, is_regular
from sshd_hook.policy import Claims

ALLOWED, REFUSED = "allowed", "refused"
UNFINISHED = "new"

MAX_NOTE = 4096  # bytes
MAX_STAT = 4096  # bytes of /proc/PID/stat, which has 52 fields and a name
START_TIME = 19  # its place after the process name: field 22 (proc(5))
MAX_DIGITS = 20
FINGERPRINT_LENGTH = 50  # "SHA256:" and 43 characters
_BASE64 = DIGITS | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/")
_LABELS = ("user", "service", "serial", "key", "authority", "session", "amr", "auth-time", "via")
_OPEN = posix.O_NOFOLLOW | posix.O_CLOEXEC


class VerdictError(Exception):
    """There is no note that could be trusted, or no place for one."""


class Connection:
    """Whom the hook let in, where, and how they had logged in.

    `service` is the name as it was asked for, with its instance; `key` is the fingerprint of the
    person's key, `authority` that of the CA's; `session` is the handle of the grant session.
    """

    __slots__ = ("authority", "claims", "key", "serial", "service", "session", "user")

    def __init__(  # noqa: PLR0913 -- what the agent needs to decide again
        self,
        *,
        user: str,
        service: str,
        serial: int,
        key: str,
        authority: str,
        session: str,
        claims: Claims,
    ) -> None:
        self.user = user
        self.service = service
        self.serial = serial
        self.key = key
        self.authority = authority
        self.session = session
        self.claims = claims


# --- what the hook does ---------------------------------------------------------------------


def parent() -> str:
    """The name, without its ending, of the note for the process that started this one.

    Raises:
        VerdictError: its start time cannot be read, as with hidepid on /proc.
    """
    pid = posix.getppid()
    return f"{pid}.{start_time(pid)}"


def start_time(pid: int) -> str:
    """When a process started, in ticks since the machine did: with its pid, it is one of a kind.

    Raises:
        VerdictError: there is no such process, or it is hidden.
    """
    try:
        fd = posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            stat = posix.read(fd, MAX_STAT)
        finally:
            posix.close(fd)
    except OSError as error:
        raise VerdictError("the parent's start time cannot be read") from error
    # The name may hold blanks, parentheses and line ends, but is the last thing that does.
    fields = stat.decode("ascii", "replace").rpartition(") ")[2].split()
    if len(fields) <= START_TIME or not _is_number(fields[START_TIME]):
        raise VerdictError("the parent's start time cannot be read")
    return fields[START_TIME]


def open_folder() -> int:
    """Open the folder of notes, which must be this user's alone; return its descriptor.

    Raises:
        VerdictError: it is not there, or others could write notes in it.
    """
    fd, owner = find_folder()
    if owner != posix.geteuid():
        posix.close(fd)
        raise VerdictError("the folder of verdicts is another's")
    return fd


def remove(folder: int, connection: str) -> None:
    """Remove what an earlier run for the same connection left.

    Raises:
        OSError: it is still there.
    """
    for ending in (ALLOWED, REFUSED, UNFINISHED):
        _unlink(folder, f"{connection}.{ending}")


def leave(folder: int, connection: str, ending: str, note: bytes) -> None:
    """Leave a note. It is there as a whole or not at all: the account program looks no further.

    Raises:
        OSError: it is not there, as on a full file system.
    """
    unfinished = f"{connection}.{UNFINISHED}"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | _OPEN
    fd = posix.open(unfinished, flags, 0o600, dir_fd=folder)
    try:
        written = posix.write(fd, note)
    finally:
        posix.close(fd)
    if written != len(note):
        raise OSError("the verdict was not written as a whole")
    posix.rename(unfinished, f"{connection}.{ending}", src_dir_fd=folder, dst_dir_fd=folder)


def render(connection: Connection) -> bytes:
    """A connection that was let in, as a note: what `parse` reads."""
    claims = connection.claims
    values = (
        connection.user,
        connection.service,
        str(connection.serial),
        connection.key,
        connection.authority,
        connection.session,
        ",".join(sorted(claims.amr)),
        "" if claims.auth_time is None else str(claims.auth_time),
        claims.via,
    )
    return "".join(f"{label} {value}\n" for label, value in zip(_LABELS, values)).encode()


# --- what the account program and the agent do ----------------------------------------------


def find_folder() -> "tuple[int, int]":
    """Open the folder of notes; return its descriptor and owner. The folder above is root's.

    Raises:
        VerdictError: it is not there, or others could write in it.
    """
    try:
        fd = posix.open(VERDICTS, posix.O_RDONLY | posix.O_DIRECTORY | _OPEN)
    except OSError as error:
        raise VerdictError("the folder of verdicts is not there") from error
    status = posix.fstat(fd)
    if status.st_mode & 0o077:
        posix.close(fd)
        raise VerdictError("the folder of verdicts is open to others")
    return fd, status.st_uid


def read(connection: str, ending: str) -> bytes:
    """The note for a connection, named as `parent` does.

    Raises:
        VerdictError: there is none, or somebody else than the hook could have written it.
    """
    folder, owner = find_folder()
    try:
        return _read(folder, owner, f"{connection}.{ending}")
    finally:
        posix.close(folder)


def connections() -> "list[tuple[int, str, Connection]]":
    """Every connection that was let in: pid and start time of its process, and the note.

    What cannot be trusted or read is left out, and so is what vanishes meanwhile. Whether the
    process still lives is for the caller to see, by its start time.
    """
    found = []
    folder, owner = find_folder()
    try:
        for name in posix.listdir(folder):
            pid, _, rest = name.partition(".")
            start, _, ending = rest.partition(".")
            if ending == ALLOWED and _is_number(pid) and _is_number(start):
                try:
                    found.append((int(pid), start, parse(_read(folder, owner, name))))
                except (VerdictError, ValueError):
                    continue
    finally:
        posix.close(folder)
    return found


def parse(note: bytes) -> Connection:
    """Read back what `render` wrote.

    Raises:
        ValueError: this is not it.
    """
    lines = note.decode("ascii").split("\n")
    if lines.pop() or len(lines) != len(_LABELS):
        raise ValueError("not the lines of a connection")
    words = [line.partition(" ") for line in lines]
    if tuple(word[0] for word in words) != _LABELS:
        raise ValueError("not the lines of a connection")
    user, service, serial, key, authority, session, amr, auth_time, via = (
        word[2] for word in words
    )
    if not is_user_id(user) or parse_service(service) is None or not is_user_id(session):
        raise ValueError("not a user, a service and a session")
    if not (_is_fingerprint(key) and _is_fingerprint(authority)):
        raise ValueError("not a fingerprint")
    values = amr.split(",") if amr else []
    if not all(map(is_amr_value, values)) or via not in ("", "device"):
        raise ValueError("not a way to log in")
    if not _is_number(serial) or not (auth_time == "" or _is_number(auth_time)):
        raise ValueError("not a number")
    claims = Claims(frozenset(values), int(auth_time) if auth_time else None, via)
    return Connection(
        user=user,
        service=service,
        serial=int(serial),
        key=key,
        authority=authority,
        session=session,
        claims=claims,
    )


def _unlink(folder: int, name: str) -> None:
    try:
        posix.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _read(folder: int, owner: int, name: str) -> bytes:
    try:
        fd = posix.open(name, posix.O_RDONLY | posix.O_NONBLOCK | _OPEN, dir_fd=folder)
    except OSError as error:
        raise VerdictError("there is no such verdict") from error
    try:
        status = posix.fstat(fd)
        if not is_regular(status) or status.st_uid != owner or status.st_nlink != 1:
            raise VerdictError("the verdict is not the hook's")
        note = posix.read(fd, MAX_NOTE + 1)
    finally:
        posix.close(fd)
    if len(note) > MAX_NOTE:
        raise VerdictError("the verdict is too long")
    return note


def _is_fingerprint(text: str) -> bool:
    return len(text) == FINGERPRINT_LENGTH and _BASE64.issuperset(text.removeprefix("SHA256:"))


def _is_number(text: str) -> bool:
    return 0 < len(text) <= MAX_DIGITS and DIGITS.issuperset(text)

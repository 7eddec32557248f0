"""How a session gets into its service's container or chroot: a fixed command, configured on the host.

`/etc/amrgate/entry` is root's. A line is for the services that it names, and the first that fits
counts; without the file, or where that says `-`, a session is in the service's home on the host.

    # services        how to get in; {service} and {project} are filled in, `-` is for no entry
    abcdefg123456-*   /usr/bin/nsenter --preserve-credentials --user=/run/ns/{service}/user
    *                 -

`*` stands at a pattern's end alone, and by itself in the last line: a file that was cut short, by a
full disk or while somebody writes it, has lost that, and not only lines that keep sessions off the
host. What a client asks for never becomes a word of the command: a shell inside gets it as one
argument.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_SIZE = 65536  # bytes
NONE = "-"
ALL = "*"  # the pattern of the last line
SERVICE, PROJECT = "{service}", "{project}"
SHELL = "/bin/sh"
# What sshd names to serve sftp is on the host; inside, it is wherever that distribution has it.
SFTP_ON_THE_HOST = ("internal-sftp", "/usr/lib/openssh/sftp-server")
SFTP = (
    "for path in /usr/lib/openssh /usr/lib/ssh /usr/libexec/openssh /usr/libexec; do"
    ' [ -x "$path/sftp-server" ] && exec "$path/sftp-server"; done;'
    " echo 'There is no sftp-server in here.' >&2; exit 127"
)
PROJECT_LENGTH = 13


class EntryError(ValueError):
    """The file is not written as it must be; the message says where."""


def find(text: str, service: str) -> "tuple[str, ...] | None":
    """The words by which sessions of a service (without an instance) get in; None for no entry.

    Raises:
        EntryError: a line of the file is none, whichever service it is about.
    """
    found: "tuple[str, ...] | None" = None
    is_found = False
    for pattern, words in _lines(text):
        if not is_found and _fits(pattern, service):
            found, is_found = words, True
    if not found:
        return None
    project = service[:PROJECT_LENGTH]
    return tuple(word.replace(SERVICE, service).replace(PROJECT, project) for word in found)


def programs(text: str) -> "set[str]":
    """The programs that the file names.

    Raises:
        EntryError: as `find` does.
    """
    return {words[0] for _, words in _lines(text) if words}


def arguments(text: str) -> "set[str]":
    """The paths among what those programs are told, such as the script that sudo runs.

    Raises:
        EntryError: as `find` does.
    """
    return {word for _, words in _lines(text) for word in words[1:] if word.startswith("/")}


def unused(text: str, services: "Iterable[str]") -> "list[str]":
    """The patterns that fit none of these services; the one that fits all is never among them.

    Raises:
        EntryError: as `find` does.
    """
    from bisect import bisect_left  # not for the hook

    known = sorted(services)
    found = []
    for pattern, _ in _lines(text):
        first = bisect_left(known, pattern.rstrip("*"))  # what fits, if anything does
        fits = first < len(known) and _fits(pattern, known[first])
        if pattern != ALL and not fits:
            found.append(pattern)
    return found


def inside(asked: "str | None") -> "tuple[str, ...]":
    """The words to run inside: for what the client asked for, or nothing for a shell."""
    if asked is None:
        return (SHELL, "-l")
    command, _, _ = asked.partition(" ")
    return (SHELL, "-c", SFTP if command in SFTP_ON_THE_HOST else asked)


def _lines(text: str) -> "Iterator[tuple[str, tuple[str, ...]]]":
    """Pattern and words of each line; no words for no entry."""
    if not text:
        return  # there is no file
    last = ""
    for number, line in enumerate(text.split("\n"), 1):
        pattern, *words = line.split() or ("#",)
        if pattern.startswith("#"):
            continue
        if not words or "*" in pattern[:-1]:
            raise EntryError(f"line {number}: not a pattern of services and a command")
        if words == [NONE]:
            words = []
        elif not words[0].startswith("/") or not line.isascii():
            raise EntryError(f"line {number}: the command must begin with an absolute path")
        for word in words:
            if "{" in word.replace(SERVICE, "").replace(PROJECT, ""):
                raise EntryError(f"line {number}: only {SERVICE} and {PROJECT} are filled in")
        last = pattern
        yield pattern, tuple(words)
    if last != ALL or not text.endswith("\n"):
        raise EntryError(f"the last line is not a whole one for {ALL}: the file may be cut short")


def _fits(pattern: str, service: str) -> bool:
    return service.startswith(pattern[:-1]) if pattern[-1] == "*" else service == pattern

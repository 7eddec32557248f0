"""What enrolling writes into the host's own files, and how it is taken out again: text to text."""

from __future__ import annotations

import os

from sshd_hook import paths
from sshd_hook.accounts import RANGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

PAM = "/etc/pam.d/sshd"
NSSWITCH = "/etc/nsswitch.conf"
TMPFILES = "/etc/tmpfiles.d/amrgate.conf"
UNIT_FOLDER = "/etc/systemd/system"
AGENT_UNIT = "amrgate-agent.service"
USERDB_UNIT = "amrgate-userdb.service"
USERDB_UNITS = ("amrgate-userdb.socket", "amrgate-userdb-root.socket", USERDB_UNIT)
UNITS = (*USERDB_UNITS, AGENT_UNIT)

SERVICES = "?????????????-*--*"  # the glob of the Match block and of the PAM lines

# What some versions of sshd do not know, and then do not start with.
OPTIONAL = frozenset({"persourcepenalties", "requiredrsasize"})

BEGIN = "# amrgate: begin. Refuses, with its reason, whom the hook did not let in.\n"
END = "# amrgate: end\n"
# libnss-systemd before 248 knows no shadow entries, so pam_unix would refuse every service.
# `done` undoes no earlier refusal, such as pam_nologin's.
NO_SHADOW = (
    "account [success=done default=ignore] pam_succeed_if.so quiet"
    f" user =~ {SERVICES} uid >= {{first}} uid <= {{last}}\n"
)

INITGROUPS = "initgroups"
ASKING = ("passwd", "group", "shadow")  # the databases that are to ask systemd
DATABASES = (*ASKING, INITGROUPS)

BEFORE = "# before amrgate: "
ADDED = "# added by amrgate"


def template(name: str) -> str:
    """One of the files that come with this package."""
    with open(os.path.join(os.path.dirname(__file__), "files", name), encoding="ascii") as file:
        return file.read()


def drop_in(
    known: Collection[str], certificates: Sequence[str] = (), excepted: Sequence[str] = ()
) -> str:
    """The file for sshd: the keywords that it knows (in lower case), and its certificates.

    The users in `excepted` have names that fit the block's glob, and keep their own keys.
    """
    services = ",".join((*(f"!{name}" for name in excepted), SERVICES))
    lines: list[str] = []
    for line in template("00-amrgate.conf").splitlines(keepends=True):
        keyword = line.split()[0].lower()
        if keyword == "match":
            lines.extend(f"HostCertificate {path}\n" for path in certificates)
        if keyword not in OPTIONAL or keyword in known:
            lines.append(line.replace(SERVICES, services))
    return "".join(lines)


def add_pam(text: str, shared: int, *, has_shadow: bool) -> str:
    """Put our lines first into PAM's file for sshd."""
    clean = remove_pam(text)
    first = f"{BEGIN}{template('pam-account')}{END}"
    if has_shadow:
        return first + clean
    extra = BEGIN + NO_SHADOW.format(first=shared, last=shared + RANGE - 1) + END
    lines = clean.splitlines(keepends=True)
    after = [number for number, line in enumerate(lines) if "pam_nologin.so" in line.split("#")[0]]
    place = after[0] + 1 if after else 0
    return first + "".join((*lines[:place], extra, *lines[place:]))


def remove_pam(text: str) -> str:
    """Take our lines out, line by line: nothing of others' goes where somebody edited ours."""
    kept = [
        line
        for line in text.splitlines(keepends=True)
        if line not in (BEGIN, END) and SERVICES not in line and paths.ACCOUNT not in line
    ]
    return "".join(kept)


def add_name_service(text: str) -> str:
    """Make nsswitch.conf ask systemd's user databases, but not for everybody's groups.

    A hung database would otherwise hold up each login: sshd calls initgroups for every user.
    """
    lines = remove_name_service(text).splitlines()
    for database in ASKING:
        place = _find(lines, database)
        if place is None:
            lines += [ADDED, f"{database}: files systemd"]
        elif "systemd" not in _sources(lines[place]):
            before = lines[place]
            lines[place : place + 1] = [
                BEFORE + before,
                _with(before, [*_sources(before), "systemd"]),
            ]
    place = _find(lines, INITGROUPS)
    group = _find(lines, "group")
    if place is None and group is not None:
        line = _with("initgroups:", _without_systemd(_sources(lines[group])))
        lines[group + 1 : group + 1] = [ADDED, line]
    elif place is not None and "systemd" in _sources(lines[place]):
        before = lines[place]
        lines[place : place + 1] = [
            BEFORE + before,
            _with(before, _without_systemd(_sources(before))),
        ]
    return "".join(f"{line}\n" for line in lines)


def remove_name_service(text: str) -> str:
    """Put back the lines that `add_name_service` replaced, and leave all others.

    One of ours that somebody changed since, as `libnss-sss` does, stays as it is but for systemd:
    what they added may be how administrators are found.
    """
    kept: list[str] = []
    lines = text.splitlines()
    while lines:
        line = lines.pop(0)
        before = [line[len(BEFORE) :]] if line.startswith(BEFORE) else []
        if line != ADDED and not before:
            kept.append(line)
        elif lines and _database(lines[0]) in (map(_database, before) if before else DATABASES):
            kept += _put_back(lines.pop(0), before, kept)
        else:  # our line is gone
            kept += before
    return "".join(f"{line}\n" for line in kept)


def _put_back(ours: str, before: list[str], kept: Sequence[str]) -> list[str]:
    """What a line of ours becomes, which took the place of `before`: that, unless it was changed."""
    sources = _sources(ours)
    was = _sources(before[0]) if before else ["files"]
    if _database(ours) != INITGROUPS:
        is_ours = sources == [*was, "systemd"]
    elif before:
        is_ours = sources == _without_systemd(was)
    else:  # of `group`, to which more may have come since
        group = _find(kept, "group")
        known = _sources(kept[group]) if group is not None else []
        is_ours = {"files", *known}.issuperset(sources)
    return before if is_ours else [_with(ours, _without_systemd(sources))]


def sources(text: str, database: str) -> list[str]:
    """Whom the name service asks for a database, in order; nobody if there is no line of it."""
    lines = text.splitlines()
    place = _find(lines, database)
    return [] if place is None else _sources(lines[place])


def _find(lines: Sequence[str], database: str) -> int | None:
    return next((n for n, line in enumerate(lines) if _database(line) == database), None)


def _database(line: str) -> str:
    name, colon, _sources = line.split("#", maxsplit=1)[0].partition(":")
    return name.strip() if colon else ""


def _sources(line: str) -> list[str]:
    return line.split("#", maxsplit=1)[0].partition(":")[2].split()


def _with(line: str, sources: Sequence[str]) -> str:
    return f"{line.partition(':')[0] + ':':<15} {' '.join(sources)}"


def _without_systemd(sources: Sequence[str]) -> list[str]:
    """The sources but systemd, with the actions (`[…]`) that spoke of it or now speak of nothing."""
    kept: list[str] = []
    dropping = False
    for source in sources:
        dropping = source == "systemd" or (dropping and source.startswith("["))
        if not dropping:
            kept.append(source)
    while kept and kept[-1].startswith("["):
        kept.pop()
    return kept or ["files"]

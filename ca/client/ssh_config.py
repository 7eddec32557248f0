"""Plain `ssh` made to use the certificate: two lines in the person's own configuration.

The first includes a file of ours at the beginning: ssh takes the first value it finds, and a
`Host *` of theirs would come before us otherwise. There, an alias of theirs (`Host x` with a
`HostName`) does not lead anywhere yet: for those the second includes another file, at the end.
"""

import os
import pwd
import sys
from pathlib import Path
from typing import Any

from ca.client import check, files, web
from ca.client.place import Place
from ca.errors import CAError, InvalidRequest, Misconfigured, Unavailable
from sshd_hook.certificate import check_public_key
from sshd_hook.wire import unb64

MARK = b"# amrgate (undo it with: amrgate ssh-config uninstall)\n"
ALIASES = b"# amrgate, for aliases that stand above\n"
LINE_END = b"\n# amrgate added the line end before this\n"
_PATTERN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.*?")
_WILDCARDS = frozenset("*?")
# What ssh, its shell, or the pattern of an Include would read as something else.
_UNSAFE = frozenset("\"'\\$%*?[]{}")


def default_file() -> Path:
    """The file that ssh reads: that of the passwd entry's home, whatever $HOME says."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh" / "config"


def install(place: Place, ca: str, file: Path) -> tuple[str, ...]:
    """Write what `ssh` needs, and include it in `file`. Returns the patterns of the hosts.

    Raises:
        CAError: and then `file` is as it was.
    """
    authority = ask_authority(ca)
    patterns = _patterns(authority)
    keys = _keys(authority)
    hosts = f'host "{",".join(patterns)}"'
    ours = block(place, hosts, verified=bool(keys))
    aliases = block(place, f"!original{hosts} {hosts}", verified=bool(keys))
    target, theirs = _target(file), contents(file)
    place.make()
    if keys:
        lines = [f"@cert-authority {','.join(patterns)} {key}\n" for key in keys]
        files.write(place.known_hosts, "".join(lines).encode())
    files.write(place.refresh, launcher(place, ca).encode(), 0o700)
    files.write(place.ssh_config, ours.encode())
    files.write(place.ssh_aliases, aliases.encode())
    if not file.parent.exists():
        files.make_folder(file.parent)
    mode = 0o600 if theirs is None else target.stat().st_mode & 0o777
    rest = without(theirs or b"")
    files.write(target, include(place) + rest + include_aliases(place, rest), mode)
    return patterns


def uninstall(place: Place, file: Path) -> bool:
    """Take back what `install` did. Returns whether there was anything."""
    for path in (place.ssh_config, place.ssh_aliases, place.refresh, place.known_hosts):
        files.remove(path)
    target, present = _target(file), contents(file)
    if present is None or not is_installed(present):
        return False
    rest = without(present)
    if rest or file.is_symlink():
        files.write(target, rest, target.stat().st_mode & 0o777)
    else:
        files.remove(target)
    return True


def is_installed(data: bytes) -> bool:
    """Whether our lines are in the file."""
    return without(data) != data


def without(data: bytes) -> bytes:
    """The file without our lines, to the byte as it was."""
    data = _cut(data, MARK, (b"Include ",))
    data = _cut(data, ALIASES, (b"Match all", b"Include "))
    before, mark, rest = data.partition(LINE_END)
    return before + b"\n" + rest if mark and rest else before


def include(place: Place) -> bytes:
    """Our lines at the beginning."""
    return MARK + f'Include "{_path(place.ssh_config)}"\n'.encode()


def include_aliases(place: Place, rest: bytes) -> bytes:
    """Our lines at the end, after the `rest` of the file."""
    line_end = LINE_END if rest and not rest.endswith(b"\n") else b""
    return line_end + ALIASES + f'Match all\nInclude "{_path(place.ssh_aliases)}"\n'.encode()


def block(place: Place, hosts: str, *, verified: bool) -> str:
    """What ssh is told of our hosts, by criteria for `Match`. `verified`: they show certificates."""
    text = (
        "# Written by `amrgate ssh-config install`.\n"
        f"Match {hosts} exec \"'{_path(place.refresh)}'\"\n"
        "    # The certificate is good now, or was renewed.\n"
        f"Match {hosts}\n"
        f'    IdentityFile "{_path(place.key)}"\n'
        f'    CertificateFile "{_path(place.certificate)}"\n'
        "    # The first certificate that a server takes decides: no other is to come before ours.\n"
        "    IdentitiesOnly yes\n"
    )
    if verified:
        text += f'    UserKnownHostsFile "{_path(place.known_hosts)}"\n'
    return text


def launcher(place: Place, ca: str) -> str:
    """The program that ssh runs to see whether the certificate is good."""
    package = Path(check.__file__).resolve().parents[2]
    return check.TEXT.format(
        python=_interpreter(),
        ca=ca,
        package=str(package),
        certificate=str(place.certificate),
        command=[sys.executable, "-Im", "ca.client.main", "ssh-cert", "load", "--quiet"],
        home=str(place.root.parent),
    )


def ask_authority(ca: str) -> dict[str, Any]:
    """What the authority publishes: its keys, and the names of the hosts that trust it."""
    answer = web.request("GET", f"{ca}/ssh/authority")
    if answer.status != 200 or not isinstance(answer.body, dict):  # noqa: PLR2004 HTTP's own
        raise Unavailable(f"{ca} does not say which hosts trust it: {answer.describe()}")
    return answer.body


def _cut(data: bytes, mark: bytes, beginnings: tuple[bytes, ...]) -> bytes:
    """The file without a mark of ours and the lines after it, if they still begin as we wrote them."""
    before, found, rest = data.partition(mark)
    for beginning in beginnings if found else ():
        line, _, rest = rest.partition(b"\n")
        if not line.startswith(beginning):
            return data
    return before + rest


def _patterns(authority: dict[str, Any]) -> tuple[str, ...]:
    found = authority.get("host_patterns")
    patterns = tuple(found) if isinstance(found, list) else ()
    if not patterns:
        raise Misconfigured(
            "The authority names no hosts: its operator must set `ssh_hosts` in its settings."
        )
    for pattern in patterns:
        # It becomes a line of a configuration that can run programs.
        if not isinstance(pattern, str) or not pattern or not _PATTERN.issuperset(pattern):
            raise InvalidRequest("The authority names a host that is none: tell its operator.")
        # Else this CA could speak for hosts that are not its own, wherever one connects to.
        if not _WILDCARDS.isdisjoint(pattern.rpartition(".")[2]):
            raise InvalidRequest(
                f"The authority wants to speak for all hosts like {pattern}: tell its operator to"
                " end `ssh_hosts` with a domain of their own."
            )
    return patterns


def _keys(authority: dict[str, Any]) -> list[str]:
    found = authority.get("host_authorities")
    lines = found if isinstance(found, list) else []
    return [_key(line) for line in lines]


def _key(line: object) -> str:
    words = line.split(" ") if isinstance(line, str) else []
    try:
        named, data = words[:2]
        found = check_public_key(unb64(data))
    except ValueError as error:  # WireError is one
        raise _bad_key() from error
    if found != named:
        raise _bad_key()
    return f"{named} {data}"


def _bad_key() -> CAError:
    return InvalidRequest("The authority's key for hosts cannot be read: tell its operator.")


def _interpreter() -> str:
    """An interpreter for the first line: the distribution's own survives its upgrades."""
    system = Path("/usr/bin/python3")
    return str(system if system.exists() else Path(sys.executable).resolve())


def _path(path: Path) -> str:
    text = str(path)
    if not text.isprintable() or not _UNSAFE.isdisjoint(text):
        raise Misconfigured(f"ssh cannot be told of {text!r}: set XDG_CONFIG_HOME to a plain path.")
    return text


def contents(file: Path) -> bytes | None:
    """What is in the file; None if it can be made.

    Raises:
        Misconfigured: it is a link whose target cannot even be made.
    """
    target = _target(file)
    if file.is_symlink() and not target.parent.is_dir():
        raise Misconfigured(f"{file} is a link to {target}, which is not there.")
    return files.read(target)


def _target(file: Path) -> Path:
    """The file itself, where people keep a link to it; what the link names must be theirs."""
    return file.resolve() if file.is_symlink() else file

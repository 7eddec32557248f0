"""About which logins sshd must be asked, so that each of its Match blocks gets to speak.

Its configuration is read for the conditions of its Match lines only. What holds then, sshd says.
"""

from __future__ import annotations

import fnmatch
import functools
import glob
import ipaddress
import os
from dataclasses import dataclass

from sshd_hook import hostfiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROBE = "a000000000000-probe--probe"  # of the grammar, in a project that is nobody's
FOLDER = "/etc/ssh"
CONFIGURATION = f"{FOLDER}/sshd_config"
MAX_INCLUDES = 16  # servconf.c, SERVCONF_MAX_DEPTH
ELSEWHERE = ("client.example", "192.0.2.1")  # a name and an address that are nobody's (RFC 5737)
CRITERIA = ("user", "group", "host", "address", "localaddress", "localport", "rdomain")


@dataclass(frozen=True)
class Question:
    """A login to ask sshd about (sshd(8), -C)."""

    user: str
    host: str = "localhost"
    addr: str = "127.0.0.1"
    # Where a block is about these, sshd wants to be told.
    laddr: str = "127.0.0.1"
    lport: str = "22"
    rdomain: str = "none"

    def specification(self) -> str:
        """The value of `-C`."""
        return ",".join(f"{name}={value}" for name, value in vars(self).items())

    def __str__(self) -> str:
        return f"{self.user} from {self.addr} ({self.host}) to {self.laddr} port {self.lport}"


ROOT = Question("root")
PLAIN = Question(PROBE)


def about_services(services: Sequence[str]) -> list[Question]:
    """Logins to services: from here, from elsewhere, and one for each Match block.

    Of a block that no service's name can fit, none.
    """
    name, address = ELSEWHERE
    asked = [Question(PROBE), Question(PROBE, name, address)]
    for criteria in match_lines(CONFIGURATION):
        user = _service(criteria.get("user", "*"), services)
        if user is not None:
            asked.append(
                Question(
                    user,
                    _example(criteria.get("host", name)),
                    _address(criteria.get("address", address)),
                    _address(criteria.get("localaddress", Question.laddr)),
                    _example(criteria.get("localport", Question.lport)),
                    _example(criteria.get("rdomain", Question.rdomain)),
                )
            )
    return list(dict.fromkeys(asked))


def files(path: str, depth: int = 0) -> Iterator[str]:
    """The file at `path` and all that it includes, as sshd reads them."""
    if depth > MAX_INCLUDES or not os.path.isfile(path):
        return
    yield path
    for words in _lines(path):
        if words[0] == "include":
            for pattern in words[1:]:
                for included in sorted(glob.glob(os.path.join(FOLDER, pattern))):
                    yield from files(included, depth + 1)


def match_lines(path: str) -> Iterator[dict[str, str]]:
    """The criteria of each Match line in the configuration at `path`, and in all that it includes."""
    for file in files(path):
        for words in _lines(file):
            if words[0] == "match":
                yield _criteria(words[1:])


def common(one: str, other: str) -> str | None:
    """A text that fits both of two patterns of `*` and `?`, or None if there is none."""

    @functools.cache
    def rest(i: int, j: int) -> str | None:
        a, b = one[i : i + 1], other[j : j + 1]
        if not a and not b:
            return ""
        # A star ends here, or takes one letter more of what the other pattern wants.
        for is_star, ended in ((a == "*", (i + 1, j)), (b == "*", (i, j + 1))):
            if is_star and (found := rest(*ended)) is not None:
                return found
        if not a or not b or a == b == "*":
            return None
        if "*" in (a, b):
            letter, found = b if a == "*" else a, rest(i + (a != "*"), j + (b != "*"))
        elif a == b or "?" in (a, b):
            letter, found = b if a == "?" else a, rest(i + 1, j + 1)
        else:
            return None
        return None if found is None else letter.replace("?", "a") + found

    return rest(0, 0)


def _lines(path: str) -> Iterator[list[str]]:
    """The words of each line that has some, the first in lower case."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split("#", maxsplit=1)[0].replace("=", " ").replace('"', " ").split()
            if words:
                yield [words[0].lower(), *words[1:]]


def _criteria(words: Sequence[str]) -> dict[str, str]:
    """Criteria and their patterns: pairs, but for `all` and what is of one word only."""
    found: dict[str, str] = {}
    waiting = iter(words)
    for word in waiting:
        if word.lower() in CRITERIA:
            found.setdefault(word.lower(), next(waiting, "*"))
    return found


def _service(patterns: str, services: Sequence[str]) -> str | None:
    """The name of a service, one of this host if possible, that fits a Match line's users."""
    chosen = [pattern for pattern in patterns.split(",") if not pattern.startswith("!")]
    for name in (PROBE, *services):
        if _fits(name, patterns):
            return name
    found = (common(pattern, hostfiles.SERVICES) for pattern in chosen)
    return next((name for name in found if name is not None), None)


def _fits(name: str, patterns: str) -> bool:
    """Whether sshd takes `name` for one of `patterns` (match.c, match_pattern_list)."""
    is_in = False
    for pattern in patterns.split(","):
        if fnmatch.fnmatchcase(name, pattern.lstrip("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            is_in = True
    return is_in


def _example(patterns: str) -> str:
    """Something that fits the first of the patterns that are no exceptions."""
    chosen = [pattern for pattern in patterns.split(",") if not pattern.startswith("!")]
    return (chosen or [""])[0].replace("*", "x").replace("?", "a")


def _address(patterns: str) -> str:
    """An address that fits the first of these patterns or networks."""
    chosen = [pattern for pattern in patterns.split(",") if not pattern.startswith("!")]
    first = (chosen or ["*"])[0]
    if first == "*":
        return ELSEWHERE[1]
    try:
        network = ipaddress.ip_network(first, strict=False)
    except ValueError:
        return first.replace("*", "1").replace("?", "1")
    return str(network[min(1, network.num_addresses - 1)])

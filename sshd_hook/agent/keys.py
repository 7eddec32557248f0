"""Following the CA to its next bundle key.

A host obeys what one key signs. Which one is next, a numbered statement says: signed by the
recovery key, which is kept offline, or by the present key. Against whoever stole the present key
the recovery key has the last word: its statement is taken whatever number others reached, and what
is older than it, or signed by a key before it, is not taken any more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sshd_hook import atomic, bundle, freshness, service, statement
from sshd_hook.agent import host, keygen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sshd_hook.statement import Statement

NAMESPACES = f"{bundle.NAMESPACE},{freshness.NAMESPACE},{statement.NAMESPACE}"
FLOOR = re.compile(r"# number ([0-9]{1,18}), of the recovery key ([0-9]{1,18})\n")


@dataclass(frozen=True)
class Floor:
    """The numbers of the last statement that was followed, and of the recovery key's last one."""

    number: int = 0
    recovery: int = 0


def render(bundle_key: str, floor: Floor) -> bytes:
    """The file of who signs bundles: key and floor in one, so that no crash parts them."""
    comment = f"# number {floor.number}, of the recovery key {floor.recovery}\n"
    return comment.encode() + host.signers(bundle_key, NAMESPACES)


def load_floor() -> Floor:
    """What this host must not fall behind; nothing where no statement was ever followed.

    Raises:
        HostError: the file cannot be read.
    """
    try:
        with open(host.BUNDLE_SIGNERS, encoding="ascii") as file:
            found = FLOOR.match(file.read(4096))
    except (OSError, ValueError) as error:
        raise host.HostError(f"{host.BUNDLE_SIGNERS} cannot be read ({error})") from error
    return Floor(int(found[1]), int(found[2])) if found else Floor()


def follow(signed: Iterable[str]) -> None:
    """Follow those of the CA's statements, in their order, that this host has not followed yet.

    One that nobody signed who may is left out and logged; what comes with it is then by a key that
    this host does not know.

    Raises:
        HostError: what this host knows of keys cannot be read.
        OSError: it cannot be written, so nothing that rests on it may be installed.
    """
    for one in signed:
        _follow_or_log(one)


def _follow_or_log(signed: str) -> None:
    try:
        _follow(signed)
    except (statement.StatementError, keygen.KeygenError) as error:
        service.log(f"a statement about the bundle key is refused: {error}")


def _follow(signed: str) -> None:
    text, signature = statement.split(signed)
    named, floor = statement.parse(text), load_floor()
    if named.number <= floor.recovery:
        return  # the recovery key has spoken later
    if _verifies(text, signature, host.RECOVERY_SIGNERS):
        _adopt(named, Floor(named.number, named.number))
    elif named.number > floor.number:
        keygen.verify(text.encode(), signature, statement.NAMESPACE, host.BUNDLE_SIGNERS)
        _adopt(named, Floor(named.number, floor.recovery))


def _verifies(text: str, signature: str, signers: str) -> bool:
    try:
        keygen.verify(text.encode(), signature, statement.NAMESPACE, signers)
    except keygen.KeygenError:
        return False
    return True


def _adopt(named: Statement, floor: Floor) -> None:
    atomic.write(host.BUNDLE_SIGNERS, render(named.bundle_key, floor), atomic.PRIVATE)
    by = "recovery key" if floor.recovery == named.number else "bundle key before it"
    service.log(f"bundles are signed by {named.bundle_key} now, as the {by} says")

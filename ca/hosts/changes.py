"""Which hosts each change concerns, as one process has followed it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.store import changes, directory, revocations

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

MAX_KEPT = 100_000  # names: of more it is enough to know that everybody was among them


@dataclass(frozen=True)
class Moment:
    """The versions of all that hosts obey."""

    directory: int
    revocations: int


class Changes:
    """What hosts obey has changed for whom, and when. For any number of threads."""

    def __init__(self) -> None:
        self._directory = _Followed(changes.of_directory)
        self._revocations = _Followed(changes.of_revocations)

    def follow(self, connection: Connection) -> Moment:
        """Take in what is new; the moment that the transaction sees."""
        moment = Moment(directory.version(connection), revocations.version(connection))
        self._directory.follow(connection, moment.directory)
        self._revocations.follow(connection, moment.revocations)
        return moment

    @property
    def directory(self) -> int:
        """The directory's newest version that was followed."""
        return self._directory.seen

    def bundle_since(self, name: str, version: int) -> bool:
        """Whether the bundle of the host `name` may have changed after this version."""
        return self._directory.last(name) > version

    def since(self, name: str, moment: Moment) -> bool:
        """Whether anything may have changed after `moment` that the host `name` is to obey."""
        return self._directory.last(name) > moment.directory or (
            self._revocations.last(name) > moment.revocations
        )


class _Followed:
    """When each name was last concerned, by the versions that this process has seen.

    A change is put down to the version at which it was seen first, which is its own or a later
    one: it is never overlooked.
    """

    def __init__(self, concerned: Callable[[Connection, int], set[str]]) -> None:
        self._concerned = concerned
        self.seen = 0
        """The newest version whose changes have been taken in."""
        self._last: dict[str, int] = {}
        self._everybody = 0
        self._lock = threading.Lock()  # for who writes: what is read is one word

    def follow(self, connection: Connection, version: int) -> None:
        with self._lock:
            if self.seen == 0:
                self.seen = version  # nobody has heard anything older from this process
            elif version > self.seen:
                names = self._concerned(connection, self.seen)
                if changes.EVERYBODY in names or len(self._last) + len(names) > MAX_KEPT:
                    self._everybody = version
                    self._last.clear()
                else:
                    self._last.update(dict.fromkeys(names, version))
                self.seen = version

    def last(self, name: str) -> int:
        return max(self._last.get(name, 0), self._everybody)

"""Logins without a pause, while something is done to the host."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.hosts import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.private import Result
    from tests.releases.office import Office

EVERYBODY = ("alice", "mallory", "admin")
NO_ACCESS = "Error: The service doesn't exist or you do not have access to it.\n"
# What ssh says if nobody listens, or sshd closes before it has said who it is.
NOT_ANSWERED = re.compile(r"^(ssh: connect to host|kex_exchange_identification:)", re.MULTILINE)
SOON = 180.0  # seconds: generous, the machine may be busy


class Login(NamedTuple):
    """Somebody's login, and what came of it."""

    name: str
    ran: Result
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether mallory got the text and nothing else, and anybody else got in."""
        if self.name == "mallory":
            return self.ran.out == "" and NO_ACCESS in self.ran.err
        return self.ran.out == "in\n"

    @property
    def is_shut_out(self) -> bool:
        """Whether there was no sshd to answer: it starts anew, or has too many at its door."""
        return self.ran.out == "" and NOT_ANSWERED.search(self.ran.err) is not None

    @property
    def is_wrong(self) -> bool:
        """Whether it was answered, but not as it must be."""
        return not (self.is_right or self.is_shut_out)


def timed(name: str, come: Callable[[], Result]) -> Login:
    """Let somebody log in."""
    begun = time.monotonic()
    return Login(name, come(), time.monotonic() - begun)


class Traffic:
    """Alice's logins that must succeed, mallory's that must not, and the administrator's."""

    def __init__(self, office: Office, names: tuple[str, ...] = EVERYBODY) -> None:
        self.logins: list[Login] = []
        self._office = office
        self._names = names
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(name,)) for name in names]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def wrong(self) -> list[Login]:
        """Those that were answered, but not as they must be."""
        return [login for login in list(self.logins) if login.is_wrong]

    @property
    def shut_out(self) -> list[Login]:
        """Those that were not answered."""
        return [login for login in self.logins if login.is_shut_out]

    def wait_for_more(self) -> None:
        """Wait until each has been answered rightly twice more, or anybody wrongly."""
        enough = {name: self._right(name) + 2 for name in self._names}
        wait_for(lambda: self.wrong or self._all_have(enough), SOON)

    def _all_have(self, enough: dict[str, int]) -> bool:
        return all(self._right(name) >= enough[name] for name in self._names)

    def _right(self, name: str) -> int:
        return sum(login.is_right for login in list(self.logins) if login.name == name)

    def _go_on(self, name: str) -> None:
        def come() -> Result:
            if name == "admin":
                return self._office.admin("echo", "in")
            return self._office.ssh(name, "echo", "in")

        while not self._over.is_set():
            self.logins.append(timed(name, come))

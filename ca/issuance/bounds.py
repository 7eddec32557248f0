"""How many certificates are issued in an hour to one login, and to one user: more than anybody needs.

Each stays in the audit log for ever and, once its session ends, in every host's revocation list until
it expires. Whoever holds a stolen token must fill neither.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ca.errors import TooManyAttempts
from ca.identity.attempts import WINDOW, in_window
from ca.store.sessions import GrantSession

OF_LOGIN = 10_000
"""Of one session; of those that were begun with one API token, together: each job begins another."""

OF_USER = 20_000
"""Of all sessions and API tokens of one user: what a thief uses up with one leaves room to the others."""

STEP = 100
"""A worker notes so many at a time, and knows no sooner what others noted: so many more there may be of
each worker. But who asks now and then, as everybody does, costs no write: two for each certificate
took a tenth of what issuing takes."""


class Bound(NamedTuple):
    """What is counted until a time, and how many there may be: of which kind, which one, and whose."""

    of: str
    id: str
    user: str
    most: int
    until: int

    @property
    def subject(self) -> str:
        """What it is called among all that is counted (`ca.store.attempts`)."""
        return in_window(f"Issued to {self.of} {self.id}", self.until - 1)


Bounds = tuple[Bound, ...]


def of_session(session: GrantSession, now: int) -> Bounds:
    """What a certificate of this session counts for."""
    user, token = session.user.id, session.api_token_id
    of, login = ("api_token", token) if token else ("session", session.sid)
    until = now - now % WINDOW + WINDOW
    return Bound(of, login, user, OF_LOGIN, until), Bound("user", user, user, OF_USER, until)


@dataclass(frozen=True)
class Counted:
    """What is so once certificates are recorded: what is not noted of each bound, and what is full.

    Of what is full, `reached` is what was not before, on any node.
    """

    left: dict[Bound, int]
    full: list[Bound]
    reached: list[Bound]


class Tally:
    """Counts what one worker issues."""

    def __init__(self) -> None:
        self._left: dict[Bound, int] = {}
        self._full: set[Bound] = set()

    def check(self, asked: Bounds, now: int) -> None:
        """See whether there may be one more. Costs nothing, however often it is asked.

        Raises:
            TooManyAttempts: there may not.
        """
        for bound in asked:
            if bound in self._full:
                raise _refusal(bound, now)

    def count(self, issued: Iterable[Bounds], note: Callable[[str, int], int]) -> Counted:
        """Count certificates. `note` notes some for a subject, and returns how many it had before."""
        counted = Counted({}, [], [])
        for bound, more in Counter(bound for bounds in issued for bound in bounds).items():
            left = self._left.get(bound, 0) + more
            if left >= STEP:
                before, left, noted = note(bound.subject, left), 0, left
                if before + noted >= bound.most:
                    counted.full.append(bound)
                    if before < bound.most:
                        counted.reached.append(bound)
            counted.left[bound] = left
        return counted

    def take(self, counted: Counted) -> None:
        """It was recorded."""
        self._left.update(counted.left)
        self._full.update(counted.full)

    def forget(self, now: float) -> None:
        """Forget what is over."""
        self._left = {bound: left for bound, left in self._left.items() if bound.until > now}
        self._full = {bound for bound in self._full if bound.until > now}


def _refusal(bound: Bound, now: int) -> TooManyAttempts:
    whose, end = {
        "session": ("this login", "end it: amrgate logout"),
        "api_token": ("this API token", "remove it"),
        "user": ("this account", "end the sessions and API tokens that you do not know"),
    }[bound.of]
    wait = max(1, bound.until - now)
    return TooManyAttempts(
        f"With {whose}, {bound.most:,} certificates were issued within the hour: there are no more until"
        f" it is over. Try again in {-(-wait // 60)} min. If it was not you, {end}.",
        wait,
    )

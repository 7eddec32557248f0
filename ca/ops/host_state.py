"""What an operator is told about a host, and whether it lags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.ops.times import ago, moment

if TYPE_CHECKING:
    from ca.store.hosts import Host

AWAY = 300  # seconds: a host that is there is noted at least every three minutes


@dataclass(frozen=True)
class HostState:
    """A host at the time `now`."""

    host: Host
    now: int

    @property
    def is_current(self) -> bool:
        """Whether it obeys what it is to obey, as far as is known.

        Nothing is built for a host that does not ask, so of one that is away no more is known.
        """
        newest = self.host.built.version, self.host.built.digest
        return self._is_here and newest[0] > 0 and self.host.acknowledged == newest

    @property
    def lags(self) -> bool:
        """Whether it has joined, but does not obey, or is not heard."""
        return self.host.joined_at is not None and not self.is_current

    @property
    def order(self) -> tuple[bool, str]:
        """Those that lag first, then by name."""
        return not self.lags, self.host.name

    def fields(self) -> dict[str, object]:
        """All that is known of it, for programs."""
        return {
            "name": self.host.name,
            "id": self.host.id,
            "names": list(self.host.names),
            "joined": moment(self.host.joined_at),
            "seen": moment(self.host.seen_at),
            "obeys": self.host.acknowledged[0],
            "current": self.host.built.version,
            "lags": self.lags,
            "report_only": self.host.report_only,
        }

    def __str__(self) -> str:
        reports = ", only reports" if self.host.report_only else ""
        if self.host.joined_at is None:
            return f"{self.host.name}  has not joined{reports}"
        obeys = "up to date" if self.is_current else self._lag
        seen = ago(self.now - self.host.seen_at) if self.host.seen_at else "never"
        return f"{self.host.name}  {obeys}{reports}, seen {seen}"

    @property
    def _lag(self) -> str:
        version = self.host.acknowledged[0] or "nothing yet"
        return f"LAGS: obeys {version}" if self._is_here else f"AWAY: obeyed {version}"

    @property
    def _is_here(self) -> bool:
        return self.host.seen_at is not None and self.now - self.host.seen_at <= AWAY

"""What providers said of themselves a moment ago: whoever opens their page again does not ask again,
and keeps nobody of that organization from their turn.
"""

import threading
from collections import OrderedDict

from ca.identity.sso.client import Metadata

SECONDS = 60  # that it counts
MAX = 256  # providers


class Recent:
    """The metadata of the providers that were asked last, by their issuers."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, tuple[Metadata, int]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, issuer: str, now: int) -> Metadata | None:
        """What it said in the last minute."""
        with self._lock:
            metadata, at = self._said.get(issuer, (None, 0))
        return metadata if at <= now < at + SECONDS else None

    def keep(self, issuer: str, metadata: Metadata, now: int) -> None:
        """Remember it, and forget who was asked longest ago."""
        with self._lock:
            self._said[issuer] = (metadata, now)
            self._said.move_to_end(issuer)
            if len(self._said) > MAX:
                self._said.popitem(last=False)

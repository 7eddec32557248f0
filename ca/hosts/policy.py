"""What each host is to obey now: built from the directory, signed, and kept for who asks again."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
import time
from base64 import b64encode
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from ca.hosts import bundle_writer
from ca.hosts.content import content_of
from ca.keys.sshsig import sign_file
from ca.store.engine import reading
from ca.store.hosts import Built
from sshd_hook import bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from ca.hosts.bundle_writer import BundleContent, Encoded
    from ca.hosts.changes import Changes
    from ca.keys import Keyring
    from ca.store.hosts import Host

MAX_KEPT = 64 << 20  # bytes of policies that a worker keeps
COMPARE_AFTER = 900  # seconds, up to twice that: as a net, were a change ever put down to nobody

log = structlog.get_logger()


@dataclass(frozen=True)
class Current:
    """Which bundle a host is to obey as of this version of the directory."""

    as_of: int
    built: Built
    compare_at: float
    """When its content is compared with the directory's again, by the monotonic clock."""


@dataclass(frozen=True)
class Policy:
    """A signed bundle, ready to be sent."""

    built: Built
    bundle: str
    """In base64."""
    signature: str
    services: tuple[str, ...]


class Policies:
    """The policy of each host as it is now. A change makes a new one only for whom it concerns.

    All workers build the very same bytes for one version from the same directory, and note which
    they built: a host may hear from one of them that it is up to date with what another one sent.
    """

    def __init__(self, engine: Engine, keys: Keyring, changes: Changes) -> None:
        self._engine = engine
        self._keys = keys
        self._changes = changes
        self._current: dict[str, Current] = {}
        self._kept: OrderedDict[str, Policy] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._asking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def current(self, host: Host, floor: int) -> Current:
        """Which bundle `host` is to obey; it would take none of a version below `floor`.

        That is the last one for as long as the next one would say the same.
        """
        with self._turn(host):  # a host that asks twice has it built once
            known = self._current.get(host.id)
            with reading(self._engine) as connection:
                as_of = self._changes.follow(connection).directory
                lowest = min(floor, as_of)
                unchanged = known is not None and self._is_unchanged(host, known, as_of)
                if known is not None and unchanged and known.built.version >= lowest:
                    if time.monotonic() < known.compare_at:
                        return self._remember(host, replace(known, as_of=as_of))
                # Not before this process, whose keys may be others, has built or compared one.
                elif known is not None and host.built.version == as_of:
                    return self._remember(host, Current(as_of, host.built, known.compare_at))
                content = self._content(connection, host)
            encoded = bundle_writer.encode(content)
            digest = encoded.digest()
            if known is not None and unchanged and known.built.content != digest:
                log.error("a change had been put down to nobody", host=host.name, version=as_of)
            last = (host.built, known.built) if known else (host.built,)
            same = [one for one in last if one.content == digest and one.version >= lowest]
            newest = max(same, key=lambda one: one.version, default=None)
            built = newest or self._build(host, encoded, as_of).built
            # Not all of those together that began together.
            pause = COMPARE_AFTER * random.uniform(1, 2)  # noqa: S311
            return self._remember(host, Current(as_of, built, time.monotonic() + pause))

    def known(self, host: Host, as_of: int, floor: int) -> Built | None:
        """Which bundle `current` would say as of this version, if that can be told without a look."""
        known = self._current.get(host.id)
        if (
            known is None
            or time.monotonic() >= known.compare_at
            or known.built.version < min(floor, as_of)
            or self._changes.directory < as_of
            or not self._is_unchanged(host, known, as_of)
        ):
            return None
        return known.built

    def policy(self, host: Host, built: Built) -> Policy:
        """The bundle `built`, or what holds now if that one cannot be made again."""
        with self._turn(host):
            kept = self._kept.get(host.id)
            if kept is not None and kept.built == built:
                return kept
            with reading(self._engine) as connection:
                content = self._content(connection, host)
            encoded = bundle_writer.encode(content)
            if encoded.digest() == built.content:
                again = self._build(host, encoded, built.version)
                if again.built == built:
                    return again
            return self._build(host, encoded, content.version)

    def _is_unchanged(self, host: Host, known: Current, as_of: int) -> bool:
        return known.as_of <= as_of and not self._changes.bundle_since(host.name, known.as_of)

    def _remember(self, host: Host, current: Current) -> Current:
        self._current[host.id] = current
        return current

    def _turn(self, host: Host) -> threading.Lock:
        with self._lock:
            return self._asking[host.id]

    def _content(self, connection: Connection, host: Host) -> BundleContent:
        return content_of(connection, host, (self._keys.user_ca.public_key,))

    def _build(self, host: Host, encoded: Encoded, version: int) -> Policy:
        draw = drawing(self._keys.seal.derive(f"bundle {host.id} {version}"))
        data = bundle_writer.lay_out(encoded, version, draw)
        policy = Policy(
            built=Built(version, hashlib.sha256(data).hexdigest(), encoded.digest()),
            bundle=b64encode(data).decode(),
            signature=sign_file(self._keys.bundle, bundle.NAMESPACE, data),
            services=encoded.names,
        )
        self._keep(host, policy)
        return policy

    def _keep(self, host: Host, policy: Policy) -> None:
        with self._lock:
            replaced = self._kept.pop(host.id, None)
            self._kept[host.id] = policy
            self._size += len(policy.bundle) - (len(replaced.bundle) if replaced else 0)
            while self._size > MAX_KEPT and len(self._kept) > 1:
                _host, oldest = self._kept.popitem(last=False)
                self._size -= len(oldest.bundle)


def drawing(secret: bytes) -> Callable[[int], int]:
    """A function that draws numbers below its argument: as good as random, and always the same.

    A host's bundle must not be predictable for those who choose the names in it, but the same
    wherever it is built.
    """
    counter = itertools.count()

    def draw(below: int) -> int:
        # 128 bits more than needed: the remainder is then as even as anybody can tell.
        length = below.bit_length() // 8 + 17
        data = hashlib.shake_256(secret + next(counter).to_bytes(8, "big")).digest(length)
        return int.from_bytes(data, "big") % below

    return draw

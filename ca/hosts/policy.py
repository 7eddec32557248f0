"""What one host is to obey: built from the directory, signed, and kept while it is current."""

from __future__ import annotations

import hashlib
import itertools
import threading
from base64 import b64encode
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.directory import read
from ca.hosts import bundle_writer
from ca.hosts.bundle_writer import BundleContent
from ca.keys.sshsig import sign_file
from ca.store import directory, hosts
from ca.store.engine import reading
from sshd_hook import bundle
from sshd_hook.bundle import ServiceRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from ca.keys import Keyring
    from ca.store.directory import Requirement
    from ca.store.hosts import Host, Service
    from sshd_hook import policy

MAX_KEPT = 64 << 20  # bytes of policies that a worker keeps


@dataclass(frozen=True)
class Policy:
    """A signed bundle, ready to be sent."""

    host_id: str
    version: int
    digest: str
    """SHA-256 of the bundle, in hex."""
    bundle: str
    """In base64."""
    signature: str
    services: tuple[str, ...]


class Policies:
    """The current policy of each host, built once in each worker for each version.

    All workers build the very same bytes from the same directory: a host may hear from one of
    them that it is up to date with what another one sent.
    """

    def __init__(self, engine: Engine, keys: Keyring) -> None:
        self._engine = engine
        self._keys = keys
        self._kept: OrderedDict[str, Policy] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._building: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def current(self, host: Host) -> Policy:
        """The policy of `host` as the directory is now. Takes a while after a change."""
        with self._lock:
            building = self._building[host.id]
        with building:  # a host that asks twice has it built once
            with reading(self._engine) as connection:
                kept = self._kept.get(host.id)
                if kept is not None and kept.version == directory.version(connection):
                    return kept
                content = content_of(connection, host, (self._keys.user_ca.public_key,))
            built = self._build(content)
            self._keep(built)
            return built

    def _build(self, content: BundleContent) -> Policy:
        seed = f"bundle {content.host_id} {content.version}"
        data = bundle_writer.write_with(content, drawing(self._keys.seal.derive(seed)))
        return Policy(
            host_id=content.host_id,
            version=content.version,
            digest=hashlib.sha256(data).hexdigest(),
            bundle=b64encode(data).decode(),
            signature=sign_file(self._keys.bundle, bundle.NAMESPACE, data),
            services=tuple(record.name for record in content.services),
        )

    def _keep(self, built: Policy) -> None:
        with self._lock:
            replaced = self._kept.pop(built.host_id, None)
            self._kept[built.host_id] = built
            self._size += len(built.bundle) - (len(replaced.bundle) if replaced else 0)
            while self._size > MAX_KEPT and len(self._kept) > 1:
                _host, oldest = self._kept.popitem(last=False)
                self._size -= len(oldest.bundle)


def content_of(connection: Connection, host: Host, authorities: tuple[bytes, ...]) -> BundleContent:
    """All that `host` must know, and nothing of what others serve.

    The transaction must see one moment, so that the version is that of everything else in it.
    """
    services = hosts.services_on(connection, host.name)
    organizations = {service.organization for service in services}
    required = _Requirements(
        hosts.requirements_on(connection, host.name),
        directory.providers(connection, organizations),
    )
    lists = _AccessLists(hosts.access_on(connection, host.name))
    return BundleContent(
        host_id=host.id,
        version=directory.version(connection),
        authorities=authorities,
        services=[
            ServiceRecord(
                service.name,
                required.of(service),
                max_offline=service.max_offline,
                access_list=lists.number(service.project, service.environment_type),
                forwards=service.forwards,
            )
            for service in services
        ],
        access_lists=lists.lists,
    )


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


class _Requirements:
    """What is required of each service, joined once for all services of a project without more."""

    def __init__(
        self, required: dict[str, Requirement], providers: dict[str, frozenset[str]]
    ) -> None:
        self._required = required
        self._providers = providers
        self._joined: dict[tuple[str, ...], policy.Requirement] = {}

    def of(self, service: Service) -> policy.Requirement:
        """The strictest of its organization's, its project's and its own."""
        subjects = (service.organization, service.project, service.name)
        key = (service.organization, *(one for one in subjects if one in self._required))
        if key not in self._joined:
            self._joined[key] = read.joined(
                (self._required[one] for one in key[1:]), self._providers[service.organization]
            )
        return self._joined[key]


class _AccessLists:
    """One list for each project and type of environment: never one for each service."""

    def __init__(self, rows: list[tuple[str, str, str, str]]) -> None:
        self._roles: dict[str, dict[str, list[tuple[str, str]]]] = {}
        for project, user, scope, role in rows:
            self._roles.setdefault(project, {}).setdefault(user, []).append((scope, role))
        self._numbers: dict[tuple[str, str], int] = {}
        self.lists: list[dict[str, tuple[int, bool]]] = []

    def number(self, project: str, environment_type: str) -> int:
        """The number of the list of who has which role there."""
        key = project, environment_type
        if key not in self._numbers:
            self._numbers[key] = len(self.lists)
            self.lists.append(
                {
                    user: (role, False)
                    for user, roles in self._roles.get(project, {}).items()
                    if (role := read.role_on(environment_type, roles))
                }
            )
        return self._numbers[key]

"""Bundles for tests, and a reader of them made from docs/bundle-format.md alone."""

from __future__ import annotations

import zlib
from itertools import count
from typing import TYPE_CHECKING, Any

from ca.hosts import bundle_writer
from ca.hosts.bundle_writer import BundleContent
from sshd_hook.bundle import Bundle, ServiceRecord
from sshd_hook.policy import CONTRIBUTOR, VIEWER, Requirement
from tests.questions import CAROL, DAVE, DAY, FOREIGN, GUARDED, HOST, MFA, NOWHERE, SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CA_KEY = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))


def same_draws() -> Callable[[int], int]:
    """Numbers that look random and are the same each time."""
    seeds = count(1)
    return lambda below: pow(3, 10**6 + next(seeds), below)


def content(**changes: Any) -> BundleContent:
    services = (
        ServiceRecord(
            SERVICE,
            Requirement(
                frozenset({"mfa", "sso:acme"}), 3600, None, providers=frozenset({"acme", "b"})
            ),
            max_offline=DAY,
            access_list=0,
            forwards=("127.0.0.1:9001", "[::1]:5432"),
        ),
        ServiceRecord(GUARDED, MFA, max_offline=7200, access_list=1),
        ServiceRecord(FOREIGN, Requirement(networks=(), device=True), max_offline=1, access_list=1),
    )
    fields: dict[str, Any] = {
        "host_id": HOST,
        "version": 2**40,
        "authorities": (CA_KEY, CA_KEY[:-1] + b"\xff"),
        "services": services,
        "access_lists": [{CAROL: (CONTRIBUTOR, False)}, {DAVE: (VIEWER, True)}],
    }
    return BundleContent(**{**fields, **changes})


def a_service(**changes: Any) -> ServiceRecord:
    fields: dict[str, Any] = {
        "name": SERVICE,
        "requirement": Requirement(),
        "max_offline": DAY,
        "access_list": 0,
    }
    return ServiceRecord(**{**fields, **changes})


EXAMPLE = bundle_writer.write_with(content(), same_draws())


REPORTED = ServiceRecord(
    SERVICE,
    Requirement(networks=("10.0.0.0/8",), providers=frozenset({"acme"})),
    max_offline=DAY,
    access_list=0,
    reported=Requirement(
        frozenset({"mfa", "sso:acme"}),
        900,
        ("10.0.0.0/8",),
        device=True,
        providers=frozenset({"acme"}),
    ),
)
REPORTING = bundle_writer.write_with(content(services=(REPORTED,)), same_draws())


def told(found: ServiceRecord | None) -> dict[str, Any] | None:
    """A service as plain data."""
    if found is None:
        return None
    required = found.requirement
    return {
        "access_list": found.access_list,
        "max_offline": found.max_offline,
        "amr": sorted(required.amr),
        "max_age": required.max_age,
        "device": required.device,
        "networks": None if required.networks is None else list(required.networks),
        "providers": sorted(required.providers),
        "forwards": list(found.forwards),
    }


def reported(found: ServiceRecord | None) -> dict[str, Any] | None:
    """What is only reported of a service, as plain data."""
    if found is None or found.reported is None:
        return None
    asked = found.reported
    return {"amr": sorted(asked.amr), "max_age": asked.max_age, "device": asked.device}


# --- a reader from docs/bundle-format.md alone ----------------------------------------------


class Other:
    """Shares no line with the one that is tested, and reads the file as a whole."""

    P = 2**1279 - 1

    def __init__(self, data: bytes) -> None:
        self.data = data
        assert data[:16] == b"amrgate-bundle-1"
        end = 20 + int.from_bytes(data[16:20], "big")
        assert zlib.crc32(data[:end]) == int.from_bytes(data[end : end + 4], "big")
        assert end + 4 <= 8192
        self.header, self.at = data[20:end], 0
        assert self.text() == "ssh-policy"
        self.host_id = self.text()
        self.version = self.number(8)
        assert self.number(8) == len(data)
        self.strictest = self.number(4)
        self.authorities = [self.string() for _ in range(self.number(4))]
        self.tables = {name: self.table(number) for number, name in ((1, "service"), (2, "role"))}
        assert self.at == len(self.header)

    def number(self, size: int) -> int:
        self.at += size
        return int.from_bytes(self.header[self.at - size : self.at], "big")

    def string(self) -> bytes:
        length = self.number(4)
        self.at += length
        return self.header[self.at - length : self.at]

    def text(self) -> str:
        return self.string().decode()

    def table(self, table: int) -> dict[bytes, bytes]:
        """Everything in it, each item in the bucket where it belongs."""
        buckets, index = self.number(4), self.number(8)
        a, b = self.string(), self.string()
        assert len(a) == len(b) == 160
        found = {}
        for bucket in range(buckets):
            entry = self.data[index + 16 * bucket :][:16]
            offset, length = int.from_bytes(entry[:8], "big"), int.from_bytes(entry[8:12], "big")
            place = self.data[offset : offset + length]
            prefix = table.to_bytes(4, "big") + bucket.to_bytes(4, "big")
            assert zlib.crc32(prefix + place) == int.from_bytes(entry[12:], "big")
            for key, value in self.items(place):
                k = int.from_bytes(key, "big")
                product = int.from_bytes(a, "big") * k + int.from_bytes(b, "big")
                assert product % self.P % buckets == bucket
                found[key] = value
        return found

    @staticmethod
    def items(bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
        while bucket:
            words = []
            for _ in range(2):
                length = int.from_bytes(bucket[:4], "big")
                words.append(bucket[4 : 4 + length])
                bucket = bucket[4 + length :]
            yield words[0], words[1]

    def service(self, name: str) -> dict[str, Any] | None:
        value = self.tables["service"].get(name.encode())
        if value is None:
            return None
        self.header, self.at = value, 0
        access_list, max_offline, amr, max_age = (
            self.number(4),
            self.number(4),
            self.text(),
            self.number(4),
        )
        flags, networks, providers, forwards = (
            self.number(1),
            self.text(),
            self.text(),
            self.text(),
        )
        assert self.at == len(value)
        words = networks.split(",") if networks else []
        return {
            "access_list": access_list,
            "max_offline": max_offline,
            "amr": sorted(amr.split(",")) if amr else [],
            "max_age": max_age or None,
            "device": bool(flags & 1),
            "networks": words if flags & 2 else None,
            "providers": providers.split(",") if providers else [],
            "forwards": forwards.split(",") if forwards else [],
        }

    def reported(self, name: str) -> dict[str, Any] | None:
        """What a reader finds who knows of flag 4."""
        service = self.tables["service"].get(name.encode())
        if service is None:
            return None
        self.header, self.at = service, 8
        self.text(), self.number(4)
        value = self.tables["service"].get(b"reported/" + name.encode())
        assert (value is not None) == bool(self.number(1) & 4)
        if value is None:
            return None
        self.header, self.at = value, 0
        amr, max_age, flags = self.text(), self.number(4), self.number(1)
        assert self.at == len(value)
        return {
            "amr": sorted(amr.split(",")) if amr else [],
            "max_age": max_age or None,
            "device": bool(flags),
        }

    def role(self, access_list: int, user_id: str) -> tuple[int, bool] | None:
        key = access_list.to_bytes(4, "big") + bytes.fromhex(user_id.replace("-", ""))
        value = self.tables["role"].get(key)
        return None if value is None else (value[0], bool(value[1]))


def read_all(found: Bundle) -> list[Any]:
    """Everything that a look-up could read of the example."""
    return [
        *(told(found.service(name)) for name in (SERVICE, GUARDED, FOREIGN, NOWHERE)),
        *(found.role(number, user) for number in (0, 1) for user in (CAROL, DAVE)),
    ]

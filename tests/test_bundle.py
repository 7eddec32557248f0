"""The bundle: what is written is found, by us and by a reader made from its documentation alone."""

from __future__ import annotations

import json
import zlib
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ca.hosts import bundle_writer
from ca.hosts.bundle_writer import BundleContent
from sshd_hook import bundle
from sshd_hook.bundle import Bundle, BundleError, ServiceRecord
from sshd_hook.names import parse_service
from sshd_hook.policy import CONTRIBUTOR, OWNER, VIEWER, Requirement
from tests.questions import CAROL, DAVE, DAY, FOREIGN, GUARDED, HOST, MFA, NOWHERE, SERVICE, record
from tests.questions import content as plain_content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VECTORS = Path(__file__).parent / "vectors" / "bundle"
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


# --- what is written is found ---------------------------------------------------------------

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
slugs = st.frozensets(words, max_size=3)
requirements = st.builds(
    lambda amr, max_age, networks, device, providers: Requirement(
        frozenset({"mfa"} | {f"sso:{slug}" for slug in amr}) if amr else frozenset(),
        max_age if amr else None,
        networks,
        device=device,
        providers=providers,
    ),
    slugs,
    st.none() | st.integers(300, 365 * DAY),
    st.none() | st.lists(st.sampled_from(["10.0.0.0/8", "::1/128", "192.0.2.7"])).map(tuple),
    st.booleans(),
    slugs,
)
names = words.map(lambda word: f"abcdefg123456-main--a{word}")
services = st.lists(
    st.builds(
        lambda name, requirement, offline, number, port, asked: ServiceRecord(
            name,
            requirement,
            max_offline=offline,
            access_list=number,
            forwards=(f"db.internal:{port}",) if port else (),
            reported=asked,
        ),
        names,
        requirements,
        st.integers(1, DAY),
        st.integers(0, 2),
        st.integers(0, 65535),
        st.none() | requirements,
    ),
    max_size=40,
    unique_by=lambda service: service.name,
)
users = st.uuids().map(str)
roles = st.tuples(st.integers(VIEWER, OWNER), st.booleans())
lists = st.lists(st.dictionaries(users, roles, max_size=20), min_size=3, max_size=3)


@settings(max_examples=300)
@given(services, lists, names, users)
def test_two_readers_find_what_was_written_and_nothing_else(
    written: list[ServiceRecord],
    access_lists: list[dict[str, tuple[int, bool]]],
    name: str,
    stranger: str,
) -> None:
    data = bundle_writer.write(content(services=written, access_lists=access_lists))
    ours, other = bundle.from_bytes(data), Other(data)
    expected = {service.name: told(service) for service in written}
    for asked in {name, *expected}:
        assert told(ours.service(asked)) == expected.get(asked)
        assert other.service(asked) == expected.get(asked)
        there = next((one for one in written if one.name == asked), None)
        assert reported(ours.service(asked)) == other.reported(asked) == reported(there)
    assert ours.strictest == other.strictest
    assert ours.strictest == min([service.max_offline for service in written], default=DAY)
    for number, access_list in enumerate(access_lists):
        for user in {stranger, *access_list}:
            assert ours.role(number, user) == other.role(number, user) == access_list.get(user)


@pytest.mark.attack(187)
def test_a_reader_that_knows_of_no_report_holds_what_is_held() -> None:
    """`Other.service` is the format before there were reports: a hook of then reads this of now."""
    found = bundle.from_bytes(REPORTING)

    assert Other(REPORTING).service(SERVICE) == told(REPORTED) == told(found.service(SERVICE))
    assert bundle.from_bytes(EXAMPLE).service(SERVICE).reported is None  # type: ignore[union-attr]


def test_what_is_only_reported_is_no_service() -> None:
    found = bundle_writer.encode(content(services=(REPORTED,)))

    assert found.names == (SERVICE,)
    assert parse_service(bundle.reported_key(SERVICE).decode()) is None


@pytest.mark.parametrize("flags", [8, 12, 255])
def test_a_flag_that_is_not_known_denies(flags: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_writer, "REPORTS", flags)
    data = bundle_writer.write(content(services=(REPORTED,)))

    with pytest.raises(BundleError, match="flag"):
        bundle.from_bytes(data).service(SERVICE)


def test_a_report_that_is_missing_denies() -> None:
    encoded = bundle_writer.encode(content(services=(REPORTED,)))
    encoded.services.pop()
    data = bundle_writer.lay_out(encoded, 7, same_draws())

    with pytest.raises(BundleError, match="missing"):
        bundle.from_bytes(data).service(SERVICE)


def test_the_header_says_whose_how_new_and_whom_to_trust() -> None:
    ours, other = bundle.from_bytes(EXAMPLE), Other(EXAMPLE)
    assert (ours.host_id, ours.version, ours.strictest) == (HOST, 2**40, 1)
    assert (other.host_id, other.version, other.strictest) == (HOST, 2**40, 1)
    assert list(ours.authorities) == other.authorities
    assert ours.trusts(CA_KEY)
    assert not ours.trusts(CA_KEY[:-1] + b"\x20")


def test_a_file_is_read_as_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    path.write_bytes(EXAMPLE)
    with path.open("rb") as file:
        found = bundle.from_fd(file.fileno(), len(EXAMPLE))
        assert told(found.service(SERVICE)) == told(bundle.from_bytes(EXAMPLE).service(SERVICE))


def test_factors_are_drawn_anew_for_each_bundle() -> None:
    assert bundle_writer.write(content()) != bundle_writer.write(content())


def test_services_of_a_bundle_without_any() -> None:
    empty = bundle.from_bytes(bundle_writer.write(content(services=(), access_lists=[])))
    assert empty.service(SERVICE) is None
    assert empty.role(0, CAROL) is None
    assert empty.strictest == DAY


@given(st.binary(max_size=159), st.integers(1, bundle.PRIME - 1), st.integers(0, bundle.PRIME - 1))
@example(b"\xff" * 159, bundle.PRIME - 1, bundle.PRIME - 1)
@example(b"\x01", 1, bundle.PRIME - 1)
@example(b"\x01", bundle.PRIME - 1, 0)
@example(b"\x01", bundle.PRIME - 1, 1)
def test_the_hash_is_the_one_of_the_specification(key: bytes, a: int, b: int) -> None:
    assert bundle.hash_of(key, a, b) == (a * int.from_bytes(key, "big") + b) % bundle.PRIME


def test_what_a_host_is_told_is_what_the_digest_is_of() -> None:
    told = bundle_writer.encode(content()).digest()
    other = [
        content(host_id=HOST[:-1] + "2"),
        content(authorities=(CA_KEY,)),
        content(services=content().services[:2]),
        content(services=[*content().services[:2], service(name=FOREIGN, access_list=1)]),
        content(access_lists=[{CAROL: (CONTRIBUTOR, True)}, {DAVE: (VIEWER, True)}]),
        content(access_lists=[{CAROL: (CONTRIBUTOR, False)}, {}]),
    ]

    assert bundle_writer.encode(content(version=7)).digest() == told
    assert len({told, *(bundle_writer.encode(one).digest() for one in other)}) == 1 + len(other)


# --- vectors --------------------------------------------------------------------------------


def test_the_writer_still_writes_the_example() -> None:
    assert (VECTORS / "example.bundle").read_bytes() == EXAMPLE
    assert (VECTORS / "reporting.bundle").read_bytes() == REPORTING


@pytest.mark.parametrize("name", ["example", "empty", "reporting"])
def test_both_readers_read_the_vectors(name: str) -> None:
    data = (VECTORS / f"{name}.bundle").read_bytes()
    expected = json.loads((VECTORS / f"{name}.json").read_text())
    ours, other = bundle.from_bytes(data), Other(data)
    for found in (ours, other):
        header = (found.host_id, found.version, found.strictest)
        assert header == (expected["host_id"], expected["version"], expected["strictest"])
        assert [key.hex() for key in found.authorities] == expected["authorities"]
        for number, user, role in expected["roles"]:
            assert found.role(number, user) == (role and tuple(role))
    for service, terms in expected["services"].items():
        what = terms and {name: value for name, value in terms.items() if name != "reported"}
        assert told(ours.service(service)) == other.service(service) == what
        asked = terms and terms.get("reported")
        assert reported(ours.service(service)) == other.reported(service) == asked


@pytest.mark.parametrize("path", sorted(VECTORS.glob("bad-*.bundle")), ids=lambda path: path.stem)
def test_a_bad_vector_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_all(bundle.from_bytes(path.read_bytes()))


def read_all(found: Bundle) -> list[Any]:
    """Everything that a look-up could read of the example."""
    return [
        *(told(found.service(name)) for name in (SERVICE, GUARDED, FOREIGN, NOWHERE)),
        *(found.role(number, user) for number in (0, 1) for user in (CAROL, DAVE)),
    ]


# --- damage ---------------------------------------------------------------------------------


def about_2_kb() -> bytes:
    more = (f"abcdefg123456-main--app{n}" for n in range(8))
    services = map(record, (SERVICE, GUARDED, FOREIGN, *more))
    data = bundle_writer.write_with(plain_content(*services), same_draws())
    assert 1900 < len(data) < 2300
    return data


@pytest.mark.attack(41)
def test_every_flipped_byte_is_noticed_or_not_read() -> None:
    """No damage changes an answer: it raises, or it is in a part that the question does not touch."""
    good = about_2_kb()
    questions = [(SERVICE, CAROL), (GUARDED, DAVE), (NOWHERE, CAROL)]
    for question in questions:
        expected, touched = ask(good, *question)
        for offset in range(len(good)):
            for flip in (0x01, 0x80, 0xFF):
                bad = good[:offset] + bytes((good[offset] ^ flip,)) + good[offset + 1 :]
                try:
                    answer, _ = ask(bad, *question)
                except ValueError:
                    continue
                assert answer == expected
                assert offset not in touched


def ask(data: bytes, name: str, user: str) -> tuple[Any, set[int]]:
    """What a login is answered by, and every offset that was read for it."""
    touched: set[int] = set()

    def read(offset: int, length: int) -> bytes:
        found = data[offset : offset + length]
        if offset:  # of the first read all is the header's, but what lies behind it
            touched.update(range(offset, offset + len(found)))
        else:
            touched.update(range(min(len(found), 24 + int.from_bytes(data[16:20], "big"))))
        return found

    found = Bundle(read, len(data))
    service = found.service(name)
    role = found.role(service.access_list if service else 0, user)
    return (told(service), role, found.authorities, found.strictest), touched


@pytest.mark.attack(41)
def test_a_bundle_cut_or_grown_anywhere_is_refused() -> None:
    good = about_2_kb()
    for bad in (*(good[:length] for length in range(len(good))), good + b"\0"):
        with pytest.raises(ValueError, match=r"\w"):
            bundle.from_bytes(bad)


@given(st.binary(max_size=400), st.integers(0, 2400), st.integers(0, 2400))
def test_nothing_but_a_value_error_comes_of_garbage(noise: bytes, start: int, end: int) -> None:
    good = about_2_kb()
    for bad in (noise, good[:start] + noise + good[end:], good[:16] + noise):
        try:
            read_all(bundle.from_bytes(bad))
        except ValueError:
            continue
        assert bad == good


# --- what cannot be written -----------------------------------------------------------------


def service(**changes: Any) -> ServiceRecord:
    fields: dict[str, Any] = {
        "name": SERVICE,
        "requirement": Requirement(),
        "max_offline": DAY,
        "access_list": 0,
    }
    return ServiceRecord(**{**fields, **changes})


@pytest.mark.parametrize(
    "wrong",
    [
        service(name=f"{SERVICE}--0"),
        service(name="abcdefg123456"),
        service(name="root"),
        service(access_list=2),
        service(access_list=-1),
        service(max_offline=0),
        service(max_offline=DAY + 1),
        service(forwards=('127.0.0.1:1",command="x',)),
        service(forwards=("127.0.0.1:0",)),
        service(forwards=("127.0.0.1:65536",)),
        service(forwards=("127.0.0.1:*",)),
        service(forwards=(":22",)),
        service(forwards=("a:1,b:2",)),
        service(forwards=("h" * 63 + ".example:22",) * 200),
        service(requirement=Requirement(networks=("10.0.0.0/8#",))),
        service(requirement=Requirement(networks=("!10.0.0.0/8",))),
        service(requirement=Requirement(networks=("",))),
        service(requirement=Requirement(frozenset({"pwd"}))),
        service(requirement=Requirement(frozenset({"sso:Acme"}))),
        service(requirement=Requirement(providers=frozenset({"a,b"}))),
    ],
    ids=lambda wrong: f"{wrong.name[-12:]}-{wrong.forwards[:1]}-{wrong.max_offline}",
)
def test_a_service_that_hosts_could_not_obey_is_not_written(wrong: ServiceRecord) -> None:
    with pytest.raises(BundleError):
        bundle_writer.write(content(services=(wrong,)))


@pytest.mark.parametrize(
    "changes",
    [
        {"services": (service(), service())},
        {"access_lists": [{"alice": (CONTRIBUTOR, False)}, {}]},
        {"access_lists": [{CAROL: (0, False)}, {}]},
        {"access_lists": [{CAROL: (OWNER + 1, False)}, {}]},
        {"authorities": (CA_KEY,) * 200},
    ],
    ids=["two of a name", "no user id", "no role", "unknown role", "too many authorities"],
)
def test_content_that_is_wrong_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError):
        bundle_writer.write(content(**changes))


def test_factors_are_drawn_until_no_bucket_is_too_long() -> None:
    """a = 1 and b = 0 put every multiple of the number of buckets into one."""
    many = [f"{n:08x}-0000-4000-8000-{n:012x}" for n in range(40_000)]
    asked: list[int] = []
    good = same_draws()

    def draw(below: int) -> int:
        asked.append(below)
        return 0 if len(asked) <= 6 else good(below)

    everybody = [dict.fromkeys(many[::1], (CONTRIBUTOR, False))]
    data = bundle_writer.write_with(content(services=(), access_lists=everybody), draw)
    assert bundle.from_bytes(data).role(0, many[-1]) == (CONTRIBUTOR, False)
    with pytest.raises(BundleError, match="buckets"):
        bundle_writer.write_with(content(services=(), access_lists=crowded()), lambda _below: 0)


def crowded() -> list[dict[str, tuple[int, bool]]]:
    """People whose ids are all multiples of the number of buckets."""
    count = 8000
    buckets = count // bundle_writer.LOAD + 1
    ids = (f"{n * buckets:032x}" for n in range(count))
    uuids = (f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" for h in ids)
    return [dict.fromkeys(uuids, (CONTRIBUTOR, False))]


# --- size -----------------------------------------------------------------------------------


def test_many_services_are_found_by_reading_as_little_as_ten() -> None:
    few, few_bytes = looked_up(10)
    many, many_bytes = looked_up(200_000)
    assert many == few
    assert many_bytes < few_bytes + 4096


def looked_up(number: int) -> tuple[int, int]:
    """How often, and how many bytes, a bundle of so many services is read for one look-up."""
    terms = Requirement(frozenset({"mfa"}))
    written = [
        ServiceRecord(f"bench{n:08d}-main--app", terms, max_offline=DAY, access_list=0)
        for n in range(number)
    ]
    data = bundle_writer.write(content(services=written))
    reads: list[int] = []

    def read(offset: int, length: int) -> bytes:
        reads.append(length)
        return data[offset : offset + length]

    for n in range(0, number, max(1, number // 100)):
        reads.clear()
        found = Bundle(read, len(data))
        name = parse_service(f"bench{n:08d}-main--app--0")
        assert name is not None
        service = found.service(name.record)
        assert service is not None
        assert service.name == written[n].name
        assert found.role(service.access_list, CAROL) == (CONTRIBUTOR, False)
    return len(reads), sum(reads)

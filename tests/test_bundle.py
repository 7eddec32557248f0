"""The bundle: what is written is found, by us and by a reader made from its documentation alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ca.hosts import bundle_writer
from sshd_hook import bundle
from sshd_hook.bundle import Bundle, BundleError, ServiceRecord
from sshd_hook.names import parse_service
from sshd_hook.policy import CONTRIBUTOR, OWNER, VIEWER, Requirement
from tests.bundles import (
    CA_KEY,
    EXAMPLE,
    REPORTED,
    REPORTING,
    Other,
    a_service,
    content,
    read_all,
    reported,
    same_draws,
    told,
)
from tests.questions import CAROL, DAVE, DAY, FOREIGN, HOST, SERVICE

VECTORS = Path(__file__).parent / "vectors" / "bundle"


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
        content(services=[*content().services[:2], a_service(name=FOREIGN, access_list=1)]),
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

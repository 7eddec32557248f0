"""What no bundle may be: damaged, or of a content that hosts could not obey."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.hosts import bundle_writer
from sshd_hook import bundle
from sshd_hook.bundle import Bundle, BundleError, ServiceRecord
from sshd_hook.policy import CONTRIBUTOR, OWNER, Requirement
from tests.bundles import CA_KEY, a_service, content, read_all, same_draws, told
from tests.questions import CAROL, DAVE, DAY, FOREIGN, GUARDED, NOWHERE, SERVICE, record
from tests.questions import content as plain_content


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


@pytest.mark.parametrize(
    "wrong",
    [
        a_service(name=f"{SERVICE}--0"),
        a_service(name="abcdefg123456"),
        a_service(name="root"),
        a_service(access_list=2),
        a_service(access_list=-1),
        a_service(max_offline=0),
        a_service(max_offline=DAY + 1),
        a_service(forwards=('127.0.0.1:1",command="x',)),
        a_service(forwards=("127.0.0.1:0",)),
        a_service(forwards=("127.0.0.1:65536",)),
        a_service(forwards=("127.0.0.1:*",)),
        a_service(forwards=(":22",)),
        a_service(forwards=("a:1,b:2",)),
        a_service(forwards=("h" * 63 + ".example:22",) * 200),
        a_service(requirement=Requirement(networks=("10.0.0.0/8#",))),
        a_service(requirement=Requirement(networks=("!10.0.0.0/8",))),
        a_service(requirement=Requirement(networks=("",))),
        a_service(requirement=Requirement(frozenset({"pwd"}))),
        a_service(requirement=Requirement(frozenset({"sso:Acme"}))),
        a_service(requirement=Requirement(providers=frozenset({"a,b"}))),
    ],
    ids=lambda wrong: f"{wrong.name[-12:]}-{wrong.forwards[:1]}-{wrong.max_offline}",
)
def test_a_service_that_hosts_could_not_obey_is_not_written(wrong: ServiceRecord) -> None:
    with pytest.raises(BundleError):
        bundle_writer.write(content(services=(wrong,)))


@pytest.mark.parametrize(
    "changes",
    [
        {"services": (a_service(), a_service())},
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

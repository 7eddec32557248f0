"""Until when, and since when, a host may decide on its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_hook.freshness import (
    CLOCK_SKEW,
    MAX_OFFLINE,
    Freshness,
    FreshnessError,
    is_fresh,
    parse,
    render,
)
from tests.certificates import NOW
from tests.questions import HOST, statement

TEXT = (
    "amrgate-fresh 2\n"
    f"host {HOST}\n"
    f"bundle 7 {'0' * 64}\n"
    f"krl 1 {'1' * 64}\n"
    f"issued-at {NOW - 60}\n"
    f"not-after {NOW - 60 + MAX_OFFLINE}\n"
)


def fields(of: Freshness) -> tuple[object, ...]:
    names = Freshness.__slots__
    return tuple(getattr(of, name) for name in names)


def test_the_statement_is_six_lines() -> None:
    assert render(statement()) == TEXT.encode()
    assert fields(parse(TEXT.encode())) == fields(statement())


@given(
    st.uuids().map(str),
    st.tuples(st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1)),
    st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32)),
    st.tuples(st.integers(0, 10**12), st.integers(1, MAX_OFFLINE)),
)
def test_what_is_rendered_is_parsed(
    host: str, versions: tuple[int, int], digests: tuple[bytes, bytes], times: tuple[int, int]
) -> None:
    made = statement(
        host_id=host,
        version=versions[0],
        digest=digests[0].hex(),
        krl_version=versions[1],
        krl_digest=digests[1].hex(),
        issued_at=times[0],
        not_after=sum(times),
    )
    assert fields(parse(render(made))) == fields(made)


@pytest.mark.attack(44)
@pytest.mark.parametrize(
    "change",
    [
        ("amrgate-fresh 2", "amrgate-fresh 1"),
        ("host ", "Host "),
        (HOST, HOST.upper()),
        (HOST, ""),
        (HOST, "a" * 65),
        ("bundle 7", "bundle 07"),
        ("bundle 7", "bundle -7"),
        ("bundle 7", "bundle +7"),
        ("bundle 7", "bundle  7"),
        ("bundle 7", "bundle \u0667"),
        ("bundle 7", "bundle 7_0"),
        ("0" * 64, "0" * 63),
        ("0" * 64, "A" * 64),
        (f"krl 1 {'1' * 64}\n", ""),
        (f"krl 1 {'1' * 64}\n", "krl 1\n"),
        (f"krl 1 {'1' * 64}\n", f"krl 1 {'1' * 64}\n" * 2),
        (f"krl 1 {'1' * 64}\n", f"krl 1 {'1' * 64}\r\n"),
        ("krl 1 ", "krl 1000000000000000 "),
        ("1" * 64, "1" * 63),
        ("1" * 64, "G" * 64),
        (f"not-after {NOW - 60 + MAX_OFFLINE}\n", ""),
        (f"not-after {NOW - 60 + MAX_OFFLINE}\n", f"not-after {NOW - 60 + MAX_OFFLINE}"),
        (f"not-after {NOW - 60 + MAX_OFFLINE}", f"not-after {NOW - 60 + MAX_OFFLINE + 1}"),
        (f"not-after {NOW - 60 + MAX_OFFLINE}", "not-after 999999999999999"),
        (f"not-after {NOW - 60 + MAX_OFFLINE}", f"not-after {NOW - 60}"),
        (f"not-after {NOW - 60 + MAX_OFFLINE}", "not-after never"),
    ],
    ids=repr,
)
def test_there_is_one_way_to_write_it_and_a_bound_on_what_it_promises(
    change: tuple[str, str],
) -> None:
    changed = TEXT.replace(*change)
    assert changed != TEXT
    with pytest.raises(FreshnessError):
        parse(changed.encode())


@given(st.binary(max_size=600))
def test_nothing_but_its_own_error_comes_of_garbage(noise: bytes) -> None:
    for data in (noise, TEXT.encode() + noise, TEXT.encode()[: len(noise)] + noise):
        if data != TEXT.encode():
            with pytest.raises(FreshnessError):
                parse(data)


def test_what_would_not_be_read_is_not_written() -> None:
    with pytest.raises(FreshnessError):
        render(statement(not_after=NOW + 2 * MAX_OFFLINE))
    with pytest.raises(FreshnessError):
        render(statement(host_id="a b"))


@pytest.mark.attack(44)
@pytest.mark.parametrize(
    ("now", "max_offline", "fresh"),
    [
        (NOW, MAX_OFFLINE, True),
        (NOW + 3600, MAX_OFFLINE, True),  # not_after itself
        (NOW + 3601, MAX_OFFLINE, False),
        (NOW + 600, 600, True),
        (NOW + 601, 600, False),
        (NOW - CLOCK_SKEW, MAX_OFFLINE, True),
        (NOW - CLOCK_SKEW - 1, MAX_OFFLINE, False),
        (0, MAX_OFFLINE, False),
        (4102444800, MAX_OFFLINE, False),
    ],
)
def test_each_of_the_three_conditions_has_its_edge(
    now: int, max_offline: int, *, fresh: bool
) -> None:
    one_hour = statement(issued_at=NOW, not_after=NOW + 3600)
    assert is_fresh(one_hour, max_offline, now) is fresh

"""The map of uids: no uid is ever two services', whatever comes, goes, crashes or is lost."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_hook import accounts, atomic
from sshd_hook.accounts import Accounts

ONE, TWO, THREE = (f"abcdefg123456-main-bvxea6i--{app}" for app in ("one", "two", "three"))
FIRST = 400_000

names = st.frozensets(st.sampled_from([f"abcdefg123456-main--app{n}" for n in range(9)]))


def follow(known: Accounts, services: "frozenset[str]") -> Accounts:
    """What the agent does at each new policy, through the file each time."""
    reserved = accounts.parse(accounts.render(accounts.reserve(known, services)))
    return accounts.parse(accounts.render(accounts.settle(reserved, services)))


@given(st.lists(names, max_size=12))
def test_a_uid_is_never_given_twice_and_a_service_keeps_its_own(
    policies: "list[frozenset[str]]",
) -> None:
    owners: dict[int, str] = {}
    known = Accounts(FIRST)
    for services in policies:
        known = follow(known, services)
        assert set(known.live) == services
        assert known.shared == FIRST
        for name, uid in (*known.live.items(), *known.gone.items()):
            assert FIRST < uid < FIRST + accounts.RANGE
            assert owners.setdefault(uid, name) == name
    assert len(owners) == len(frozenset().union(*policies))


def test_what_is_reserved_does_not_resolve_before_it_is_settled() -> None:
    reserved = accounts.reserve(Accounts(FIRST), [ONE])

    assert reserved.live == {}
    assert reserved.gone == {ONE: FIRST + 1}


def test_a_used_up_range_gives_nothing_beyond_it() -> None:
    last = FIRST + accounts.RANGE - 1
    known = Accounts(FIRST, {}, {ONE: last - 1})

    settled = accounts.settle(accounts.reserve(known, [TWO, THREE]), [TWO, THREE])

    assert list(settled.live.values()) == [last]


@pytest.mark.parametrize(
    "line",
    [
        f"{ONE} {FIRST - 1}",
        f"{ONE} {FIRST + accounts.RANGE}",
        f"{ONE} 0",
        f"{ONE} 524288",
        f"{ONE} -1",
        f"{ONE} 4_00001",
        f"{ONE} 400001 away",
        f"{ONE}  400001",
        f"{ONE}--0 400001",
        "root 400001",
        f"../{ONE} 400001",
        f"{ONE} {FIRST}",
        "",
        "\0",
        "\udcff 400001",
    ],
)
def test_a_line_that_is_not_a_service_of_the_range_counts_for_nothing(line: str) -> None:
    data = f"shared {FIRST}\n{line}\n{TWO} 400002\n".encode(errors="surrogateescape")

    known = accounts.parse(data)

    assert known.live == {TWO: FIRST + 2}
    assert known.gone == {}


def test_two_services_of_one_uid_get_none() -> None:
    data = f"shared {FIRST}\n{ONE} 400001\n{TWO} 400001\n{THREE} 400003\n"

    assert accounts.parse(data.encode()).live == {THREE: FIRST + 3}


@pytest.mark.parametrize("first", ["", "shared", "shared 0", "shared 524288", f"{ONE} {FIRST}"])
def test_a_map_without_its_range_is_none(first: str) -> None:
    with pytest.raises(accounts.AccountsError):
        accounts.parse(f"{first}\n{ONE} 400001\n".encode())


def test_the_range_is_one_that_nobody_uses() -> None:
    assert accounts.choose_range([(1000, 60), (100_000, 65536)]) == 400_000
    assert accounts.choose_range([(499_999, 1), (300_000, 1), (231_072, 65536)]) == 100_000
    with pytest.raises(accounts.AccountsError, match="no range"):
        accounts.choose_range([(100_000, 400_000)])


def test_homes_are_their_services_alone(tmp_path: Path) -> None:
    accounts.make_home(str(tmp_path), ONE, FIRST + 1)
    accounts.make_home(str(tmp_path), ONE, FIRST + 1)

    found = (tmp_path / ONE).stat()

    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (FIRST + 1, FIRST + 1, 0o700)


def test_a_home_half_made_by_a_crash_is_finished(tmp_path: Path) -> None:
    (tmp_path / ONE).mkdir(0o755)

    accounts.make_home(str(tmp_path), ONE, FIRST + 1)

    found = (tmp_path / ONE).stat()
    assert (found.st_uid, found.st_mode & 0o7777) == (FIRST + 1, 0o700)


@pytest.mark.parametrize("kind", ["another's", "a file", "a link", "root's, with files"])
def test_a_home_whose_place_is_taken_is_left_alone(tmp_path: Path, kind: str) -> None:
    place = tmp_path / ONE
    if kind == "a file":
        place.write_text("")
    elif kind == "a link":
        place.symlink_to("/etc")
    else:
        place.mkdir()
        (place / "file").write_text("")
    if kind == "another's":
        os.chown(place, FIRST + 9, FIRST + 9)
    before = place.lstat()

    with pytest.raises(accounts.AccountsError):
        accounts.make_home(str(tmp_path), ONE, FIRST + 1)

    assert place.lstat() == before


def test_a_lost_map_is_recovered_from_the_homes(tmp_path: Path) -> None:
    for name, uid in ((ONE, FIRST + 7), (TWO, FIRST + 3)):
        accounts.make_home(str(tmp_path), name, uid)
    (tmp_path / "shared").mkdir()
    (tmp_path / THREE).mkdir()

    known = accounts.recover(Accounts(FIRST), str(tmp_path))

    assert known.gone == {ONE: FIRST + 7, TWO: FIRST + 3}
    assert accounts.reserve(known, [THREE]).gone[THREE] == FIRST + 8


def test_a_write_that_fails_its_check_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def refuse(temporary: str) -> None:
        assert Path(temporary).read_text() == "new"
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        atomic.write(str(path), b"new", atomic.PUBLIC, refuse)

    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_what_a_crash_left_behind_is_overwritten_and_never_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / ".file.new").symlink_to(victim)

    atomic.write(str(tmp_path / "file"), b"new", atomic.PUBLIC)

    assert victim.read_text() == "untouched"
    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o644

"""The operator's `amrgate-ca user`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert

from ca.directory import people
from ca.errors import TooManyAttempts
from ca.identity import accounts, attempts
from ca.store import tables
from ca.store.engine import reading, writing
from tests.directory import records, version
from tests.operating import EXAMPLE, PASSWORD, SEAL, Ca, now

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_first_password_comes_from_a_file(ca: Ca, tmp_path: Path, ending: str) -> None:
    ca.check("apply", EXAMPLE)
    (tmp_path / "password").write_bytes(f"{PASSWORD}{ending}".encode())
    with pytest.raises(accounts.WrongPassword):
        accounts.check_password(ca.engine, SEAL, "alice", PASSWORD, now())

    ca.check("user", "password", "alice", "--from-file", tmp_path / "password")

    user, _proof = accounts.check_password(ca.engine, SEAL, "alice", PASSWORD, now())
    assert user.username == "alice"


def test_or_it_is_asked_for(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)

    output = ca.run("user", "password", "alice", typed=f"{PASSWORD}\n{PASSWORD}\n").output

    assert PASSWORD not in output
    assert accounts.check_password(ca.engine, SEAL, "alice", PASSWORD, now())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "must hold the password alone"),
        (b"\n", "must hold the password alone"),
        (b"a password of many words\nand more\n", "must hold the password alone"),
        (b"x" * 9000, "must hold the password alone"),
        (b"short", "15 to 1024 characters"),
        (b"\xff\xfe" * 20, "cannot be read"),
    ],
    ids=str,
)
def test_a_file_that_holds_no_password_sets_none(
    ca: Ca, tmp_path: Path, content: bytes | None, message: str
) -> None:
    ca.check("apply", EXAMPLE)
    if content is not None:
        (tmp_path / "password").write_bytes(content)

    assert message in ca.error("user", "password", "alice", "--from-file", tmp_path / "password")
    (alice, *_others) = json.loads(ca.check("user", "list", "--json"))
    assert not alice["password"]


def test_users_are_listed(ca: Ca, tmp_path: Path) -> None:
    ca.check("apply", EXAMPLE)
    (tmp_path / "password").write_text(PASSWORD)
    ca.check("user", "password", "bob", "--from-file", tmp_path / "password")
    ca.check("user", "disable", "mallory")

    assert ca.check("user", "list").splitlines() == [
        "alice  Alice Archer  no password",
        "bob  Bob Baker  password",
        "carol  Carol Cooper  no password",
        "mallory  Mallory Mason  disabled",
    ]


def test_somebody_is_kept_out_and_let_in_again(ca: Ca) -> None:
    def disabled() -> dict[str, bool]:
        listed: list[dict[str, Any]] = json.loads(ca.check("user", "list", "--json"))
        return {one["username"]: one["disabled"] for one in listed}

    ca.check("apply", EXAMPLE)
    before = version(ca.engine)

    ca.check("user", "disable", "alice")
    assert disabled() == {"alice": True, "bob": False, "carol": False, "mallory": False}
    assert version(ca.engine) > before
    ca.check("user", "enable", "alice")
    assert not any(disabled().values())
    assert "the last admin of acme" in ca.error("user", "disable", "bob")


def test_lost_factors_are_forgotten(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)

    ca.check("user", "forget-factors", "alice")

    assert records(ca.engine)[-1][0] == "factors:forget"


def test_who_failed_too_often_is_unlocked(ca: Ca, tmp_path: Path) -> None:
    ca.check("apply", EXAMPLE)
    (tmp_path / "password").write_text(PASSWORD)
    ca.check("user", "password", "alice", "--from-file", tmp_path / "password")
    with reading(ca.engine) as connection:
        alice = people.find(connection, "alice").id
    row = {"subject": alice, "failures": attempts.MAX_FAILURES, "last_at": now()}
    with writing(ca.engine) as connection:
        connection.execute(insert(tables.attempts).values(row))
    with pytest.raises(TooManyAttempts, match="unlock the account"):
        accounts.check_password(ca.engine, SEAL, "alice", PASSWORD, now())

    said = ca.check("user", "unlock", "alice")

    assert said == "alice may log in again: 60 failed attempts are forgotten.\n"
    assert accounts.check_password(ca.engine, SEAL, "alice", PASSWORD, now())
    event, actor, subject = records(ca.engine)[-1]
    assert (event, subject) == ("attempts:forget", alice)
    assert actor.startswith("operator ")


def test_who_did_not_fail_is_not_unlocked(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)
    before = records(ca.engine)

    said = ca.check("user", "unlock", "alice")

    assert said == "alice was not locked: there is no failed attempt.\n"
    assert records(ca.engine) == before


@pytest.mark.parametrize("command", ["password", "disable", "enable", "forget-factors", "unlock"])
def test_nobody_is_nobody(ca: Ca, command: str) -> None:
    error = ca.error("user", command, "nobody", typed=f"{PASSWORD}\n{PASSWORD}\n")

    assert "There is no user 'nobody'" in error

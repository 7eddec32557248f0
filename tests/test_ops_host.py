"""The operator's commands about the directory: apply, host, user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlalchemy import insert

from ca import settings
from ca.directory import people
from ca.errors import TooManyAttempts
from ca.hosts import join
from ca.identity import accounts, attempts
from ca.ops.main import main
from ca.settings import Settings
from ca.store import hosts, tables
from ca.store.engine import open_engine, reading, writing
from ca.store.hosts import Built
from tests.directory import ACME, SERVICE, records, version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result
    from sqlalchemy import Engine

EXAMPLE = Path(__file__).parent.parent / "examples" / "acme.toml"
NAME = "ssh.acme.example"
PASSWORD = "a password of many words"


@dataclass
class Ca:
    """A CA without keys: these commands need none."""

    data: Path
    engine: Engine

    def run(self, *words: str | Path, typed: str = "") -> Result:
        command, *rest = map(str, words)
        split = 1 if command in ("host", "user") else 0
        arguments = [command, *rest[:split], "--data", str(self.data), *rest[split:]]
        return CliRunner().invoke(main, arguments, input=typed)

    def check(self, *words: str | Path, typed: str = "") -> str:
        result = self.run(*words, typed=typed)
        assert result.exit_code == 0, result.output
        return result.stdout

    def error(self, *words: str | Path, typed: str = "") -> str:
        result = self.run(*words, typed=typed)
        assert result.exit_code == 1, result.output
        assert "Traceback" not in result.output
        assert isinstance(result.exception, SystemExit)
        return result.stderr


@pytest.fixture
def ca(database_url: str, tmp_path: Path) -> Iterator[Ca]:
    issuer = "https://ca.acme.example"
    chosen = Settings(data=tmp_path, issuer=issuer, listen="127.0.0.1:1", database=database_url)
    (tmp_path / settings.SETTINGS_FILE).write_text(settings.render(chosen))
    engine = open_engine(database_url)
    yield Ca(tmp_path, engine)
    engine.dispose()


def now() -> int:
    return int(time.time())


# --- apply ----------------------------------------------------------------------------------


def test_the_example_is_applied(ca: Ca) -> None:
    planned = ca.check("apply", EXAMPLE, "--dry-run").splitlines()
    assert version(ca.engine) == 0

    done = ca.check("apply", EXAMPLE).splitlines()

    assert planned[:-1] == done[:-1]
    assert f'+ service {SERVICE}  host "{NAME}"  forwards ["127.0.0.1:8080"]' in done
    assert (planned[-1], done[-1]) == (
        "18 to add, 0 to change, 0 to remove.",
        "18 added, 0 changed, 0 removed.",
    )
    assert ca.check("apply", EXAMPLE) == "Nothing to change.\n"


def test_what_is_removed_and_changed_is_shown(ca: Ca, tmp_path: Path) -> None:
    ca.check("apply", EXAMPLE)
    file = tmp_path / "acme.toml"
    file.write_text(ACME.replace("carol = {", "# carol = {").replace("The shop", "The mall"))

    assert ca.check("apply", file).splitlines() == [
        '~ project abcdefg123456  title "The shop" → "The mall"',
        "- access abcdefg123456 carol production",
        "0 added, 1 changed, 1 removed.",
    ]


def test_changes_are_coloured_on_a_terminal_alone(ca: Ca) -> None:
    arguments = ["apply", "--data", str(ca.data), str(EXAMPLE), "--dry-run"]

    on_terminal = CliRunner().invoke(main, arguments, color=True).stdout

    assert "\x1b[32m+ user alice" in on_terminal
    assert "\x1b" not in CliRunner().invoke(main, arguments).stdout


def test_who_applied_it_is_recorded(ca: Ca, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "olga")

    ca.check("apply", EXAMPLE)

    assert ("user:add", "operator olga", "alice") in records(ca.engine)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param(b"\xff", "cannot be read", id="not UTF-8"),
        pytest.param(b"[users", "acme.toml is not TOML: ", id="not TOML"),
        pytest.param(b"a = 1\nb = 2\n", "acme.toml:2: b: there is no such key", id="unknown"),
    ],
)
def test_a_bad_file_changes_nothing(
    ca: Ca, tmp_path: Path, content: bytes | None, message: str
) -> None:
    ca.check("apply", EXAMPLE)
    before = version(ca.engine), records(ca.engine)
    file = tmp_path / "acme.toml"
    if content is not None:
        file.write_bytes(content)

    error = ca.error("apply", file)

    assert error.startswith("Error: ")
    assert message in error
    assert (version(ca.engine), records(ca.engine)) == before


def test_without_a_ca_there_is_a_word_about_init(tmp_path: Path) -> None:
    missing = Ca(tmp_path / "none", open_engine(f"sqlite:///{tmp_path}/x"))

    for words in (("apply", EXAMPLE), ("host", "list"), ("user", "list")):
        assert "amrgate-ca init" in missing.error(*words)


def test_a_database_that_cannot_be_used_is_told(ca: Ca, tmp_path: Path) -> None:
    chosen = settings.read(ca.data)
    gone = Settings(**{**vars(chosen), "database": f"sqlite:///{tmp_path}/no/such/folder"})
    (ca.data / settings.SETTINGS_FILE).write_text(settings.render(gone))

    assert "The database " in ca.error("apply", EXAMPLE)


# --- host -----------------------------------------------------------------------------------


def test_a_token_is_one_line_to_paste(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)

    line = ca.check("host", "token", NAME, "--alias", "192.0.2.7").strip()

    words = line.split()
    assert words[:-1] == [
        *("sshd-hook", "enroll", "--ca", "https://ca.acme.example", "--ca-file", "ca.pem"),
        *("--name", NAME, "--token"),
    ]
    joined = join.join(ca.engine, words[-1], NAME, b"", now())
    assert joined.host.names == (NAME, "192.0.2.7")


def test_hosts_are_listed_with_what_they_obey(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)
    assert ca.check("host", "list") == f"{NAME}  has not joined\n"

    token = ca.check("host", "token", NAME).split()[-1]
    host = join.join(ca.engine, token, NAME, b"", now()).host
    assert ca.check("host", "list").startswith(f"{NAME}  obeys 0, seen 20")
    with ca.engine.begin() as connection:
        built = Built(version(ca.engine), "0" * 64)
        hosts.note_built(connection, host.id, built)
        hosts.acknowledge(connection, host.id, built.version, built.digest, now())

    assert ca.check("host", "list").startswith(f"{NAME}  up to date, seen 20")
    (listed,) = json.loads(ca.check("host", "list", "--json"))
    assert listed["obeys"] == listed["current"] == version(ca.engine)
    shown = json.loads(ca.check("host", "show", NAME, "--json"))
    assert shown == {**listed, "services": [SERVICE]}
    assert f"services      {SERVICE}\n" in ca.check("host", "show", NAME)
    with ca.engine.begin() as connection:
        hosts.touch(connection, host.id, now() - 301)
    assert ca.check("host", "list").startswith(f"{NAME}  obeys {built.version}, seen 20")


def test_a_host_that_is_in_no_file_can_join_as_well(ca: Ca) -> None:
    token = ca.check("host", "token", "ssh9").split()[-1]

    join.join(ca.engine, token, "ssh9", b"", now())

    assert "ssh9  obeys 0" in ca.check("host", "list")
    # But the file is the whole truth, and shows what it would take away.
    assert "- host ssh9" in ca.check("apply", EXAMPLE, "--dry-run").splitlines()


def test_a_host_is_removed(ca: Ca) -> None:
    ca.check("host", "token", NAME)
    before = version(ca.engine)

    ca.check("host", "remove", NAME)

    assert ca.check("host", "list") == ""
    assert version(ca.engine) > before
    assert f"There is no host {NAME}" in ca.error("host", "remove", NAME)
    assert f"There is no host {NAME}" in ca.error("host", "show", NAME)


@pytest.mark.parametrize("name", ["*", "*.acme.example", "SSH", "a b", "-x", "a..b", "", "a" * 65])
def test_a_name_that_is_none_gets_no_token(ca: Ca, name: str) -> None:
    assert "is not a host name" in ca.error("host", "token", "--", name)
    assert "is not a host name" in ca.error("host", "token", "--alias", name, "--", NAME)
    with reading(ca.engine) as connection:
        assert hosts.all_hosts(connection) == []


# --- user -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_first_password_comes_from_a_file(ca: Ca, tmp_path: Path, ending: str) -> None:
    ca.check("apply", EXAMPLE)
    (tmp_path / "password").write_bytes(f"{PASSWORD}{ending}".encode())
    with pytest.raises(accounts.WrongPassword):
        accounts.check_password(ca.engine, "alice", PASSWORD, now())

    ca.check("user", "password", "alice", "--from-file", tmp_path / "password")

    user, _proof = accounts.check_password(ca.engine, "alice", PASSWORD, now())
    assert user.username == "alice"


def test_or_it_is_asked_for(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)

    output = ca.run("user", "password", "alice", typed=f"{PASSWORD}\n{PASSWORD}\n").output

    assert PASSWORD not in output
    assert accounts.check_password(ca.engine, "alice", PASSWORD, now())


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
        accounts.check_password(ca.engine, "alice", PASSWORD, now())

    said = ca.check("user", "unlock", "alice")

    assert said == "alice may log in again: 60 failed attempts are forgotten.\n"
    assert accounts.check_password(ca.engine, "alice", PASSWORD, now())
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


# --- all of them ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("apply",),
        ("host",),
        ("host", "token"),
        ("host", "list"),
        ("host", "show"),
        ("host", "remove"),
        ("user",),
        ("user", "password"),
        ("user", "list"),
        ("user", "disable"),
        ("user", "enable"),
        ("user", "forget-factors"),
        ("user", "unlock"),
    ],
    ids=" ".join,
)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*words, "--help"])

    assert result.exit_code == 0
    assert f"Example: amrgate-ca {words[0]}" in " ".join(result.stdout.split())


def test_the_program_itself(ca: Ca) -> None:
    program = Path(sys.executable).parent / "amrgate-ca"
    words: list[str | Path] = [program, "apply", "--data", ca.data, EXAMPLE]

    done = subprocess.run(
        words, env=os.environ, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("18 added, 0 changed, 0 removed.\n")


def test_a_command_leaves_the_umask_of_who_called_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        CliRunner().invoke(main, ["host", "list", "--data", str(tmp_path)])
    finally:
        after = os.umask(before)

    assert after == 0o022

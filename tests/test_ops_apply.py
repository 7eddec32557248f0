"""The operator's `amrgate-ca apply`, and what holds for every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ca import settings
from ca.ops.main import main
from ca.settings import Settings
from ca.store.engine import open_engine
from tests.directory import ACME, SERVICE, records, version
from tests.operating import EXAMPLE, NAME, Ca


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


FAULTS = {
    "sqlite:///{}/gone": "There is no database at ",
    "sqlite:///{}/damaged": "file is not a database",
    "sqlite:///{}/folder": "unable to open database file",
    "sqlite:///{}/empty": "schema is empty, but this version needs",
    "postgresql://127.0.0.1:1/gone": "The database did not do it, and nothing was changed: ",
}


@pytest.mark.parametrize("url", FAULTS)
def test_a_database_that_cannot_be_used_is_told(ca: Ca, tmp_path: Path, url: str) -> None:
    (tmp_path / "damaged").write_text("no database " * 100)
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    chosen = settings.read(ca.data)
    broken = Settings(**{**vars(chosen), "database": url.format(tmp_path)})
    (ca.data / settings.SETTINGS_FILE).write_text(settings.render(broken))

    for words in (("apply", EXAMPLE), ("user", "list"), ("serve",)):
        assert FAULTS[url] in ca.error(*words), words
    ca.error("doctor")
    looked_at = ca.run("doctor").stdout
    assert "FAIL  the database has this version's schema: " in looked_at
    assert FAULTS[url] in looked_at
    assert not (tmp_path / "gone").exists(), "an empty one would look like a CA that never was"


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

"""`amrgate-ca init`: a whole CA or nothing, and nothing of what was there is touched."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from ca import audit, settings
from ca.errors import Conflict, Misconfigured
from ca.keys import keyring
from ca.ops.init import create
from ca.ops.main import main
from ca.settings import Settings
from ca.store import schema
from ca.store.engine import open_engine, reading
from sshd_hook.wire import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.testing import Result

PROGRAM = Path(sys.executable).with_name("amrgate-ca")
PASSPHRASE = "correct horse battery staple"


def run(*words: str | Path, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in (PROGRAM, *words)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, input=typed or ""
    )


def ask(*words: str | Path) -> Result:
    """What is refused, asked in this process."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert isinstance(done.exception, SystemExit), done.exception
    return done


def rounds(key: Path) -> int:
    """How often bcrypt's hash is made anew for a key file (PROTOCOL.key of OpenSSH)."""
    lines = key.read_text().splitlines()
    data = base64.b64decode("".join(lines[1:-1])).removeprefix(b"openssh-key-v1\0")
    reader = Reader(data)
    cipher, kdf, options = reader.string(), reader.string(), Reader(reader.string())
    assert (cipher, kdf) == (b"aes256-ctr", b"bcrypt")
    options.string()  # the salt
    return options.u32()


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("pattern", ["*", "*.*", "ssh.*", "a b.example", "SSH.example", "x,y", ""])
def test_it_speaks_for_no_hosts_of_others(tmp_path: Path, passphrase: Path, pattern: str) -> None:
    words = ("--passphrase-file", passphrase, "--ssh-host", pattern)

    refused = ask("init", "--data", tmp_path / "ca", *words)

    assert refused.exit_code == 1
    assert "is no pattern of SSH hosts" in refused.stderr
    assert not (tmp_path / "ca").exists()
    text = 'issuer = "https://ca.acme.example"\nlisten = "127.0.0.1:1"\n'
    with pytest.raises(Misconfigured):
        settings.parse(f'{text}ssh_hosts = ["{pattern}"]\n', tmp_path)
    parsed = settings.parse(f'{text}ssh_hosts = ["*.a-1.example", "192.0.2.7"]\n', tmp_path)
    assert len(parsed.ssh_hosts) == 2


def test_it_makes_a_ca_and_says_what_comes_next(tmp_path: Path, passphrase: Path) -> None:
    data = tmp_path / "ca"

    made = run("init", "--data", data, "--passphrase-file", passphrase, "--ssh-host", "*.ssh.acme")

    assert made.returncode == 0, made.stderr
    following = [line for line in made.stdout.splitlines() if line.startswith("  amrgate-ca ")]
    assert len(following) == 3
    assert PASSPHRASE not in made.stdout + made.stderr
    assert data.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in data.rglob("*")} == {0}
    chosen = settings.read(data)
    assert chosen.ssh_hosts == ("*.ssh.acme",)
    keyring.unlock(data, PASSPHRASE.encode())
    assert {rounds(path) for path in data.glob("keys/*.key")} == {32}
    engine = open_engine(chosen.database)
    schema.check(engine)
    with reading(engine) as connection:
        assert audit.verify(connection).seq == 1
    engine.dispose()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca", "passphrase"]

    again = run("init", "--data", data, "--passphrase-file", passphrase)

    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert "nothing was changed" in again.stderr
    keyring.unlock(data, PASSPHRASE.encode())

    found = run("doctor", "--data", data)
    assert found.returncode == 1
    faults = [line for line in found.stdout.splitlines() if line.startswith("FAIL")]
    assert len(faults) == 1
    assert "recovery.key is still here: move it to a safe place." in faults[0]
    keyring.key_path(data, "recovery").unlink()
    assert run("doctor", "--data", data).returncode == 0


def test_the_passphrase_may_be_a_credential_of_systemd(
    tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(passphrase.parent))

    made = run("init", "--data", tmp_path / "ca")

    assert made.returncode == 0, made.stderr
    keyring.unlock(tmp_path / "ca", PASSPHRASE.encode())


@pytest.mark.parametrize(
    ("words", "status", "fault"),
    [
        (["--issuer", "http://ca.acme.example"], 1, "must begin with https"),
        (["--issuer", "https://ca.acme.example/path"], 1, "must be only"),
        (["--issuer", "nonsense"], 1, "must be only"),
        (["--listen", "127.0.0.1"], 1, "address:port"),
        (["--listen", "localhost:1"], 1, "address:port"),
        (["--listen", "127.0.0.1:70000"], 1, "address:port"),
        (["--database", "mysql://a/b"], 1, "sqlite or postgresql"),
        (["--database", "postgresql://127.0.0.1:1/none"], 1, "cannot be used"),
        (["--nonsense"], 2, "No such option"),
    ],
)
def test_what_is_wrong_leaves_nothing_behind(
    tmp_path: Path, passphrase: Path, words: Sequence[str], status: int, fault: str
) -> None:
    made = ask("init", "--data", tmp_path / "ca", "--passphrase-file", passphrase, *words)

    assert made.exit_code == status
    assert fault in made.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["passphrase"]


@pytest.mark.parametrize(
    ("text", "mode", "fault"),
    [
        ("short", 0o600, "at least 12"),
        ("", 0o600, "on one line"),
        ("two\nlines that are long", 0o600, "on one line"),
        (PASSPHRASE, 0o644, "chmod 600"),
    ],
)
def test_a_passphrase_that_is_none_is_refused(
    tmp_path: Path, passphrase: Path, text: str, mode: int, fault: str
) -> None:
    passphrase.write_text(text)
    passphrase.chmod(mode)

    made = ask("init", "--data", tmp_path / "ca", "--passphrase-file", passphrase)

    assert made.exit_code == 1
    assert fault in made.stderr
    assert not (tmp_path / "ca").exists()


def test_without_a_passphrase_there_is_no_default(tmp_path: Path) -> None:
    made = ask("init", "--data", tmp_path / "ca")

    assert made.exit_code == 1
    assert "passphrase" in made.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_in_the_way_is_left_as_it_was(tmp_path: Path, passphrase: Path, kind: str) -> None:
    data = tmp_path / "ca"
    if kind == "file":
        data.write_text("mine")
    elif kind == "folder":
        data.mkdir()
        (data / "mine").write_text("mine")
    else:
        data.symlink_to(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    made = ask("init", "--data", data, "--passphrase-file", passphrase)

    assert made.exit_code == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_database_of_another_ca_is_left_alone(tmp_path: Path, database_url: str) -> None:
    engine = open_engine(database_url)
    schema.upgrade(engine)
    chosen = Settings(tmp_path / "ca", "http://127.0.0.1:1", "127.0.0.1:1", database_url)

    with pytest.raises(Conflict, match="already"):
        create(chosen, PASSPHRASE.encode())

    assert not chosen.data.exists()
    with reading(engine) as connection:
        assert audit.head(connection) == audit.EMPTY
    engine.dispose()


@pytest.mark.parametrize(
    ("issuer", "listen", "proxies"),
    [
        ("https://ca.example", "127.0.0.1:8022", ("127.0.0.1/32",)),
        ("https://ca.example", "[::1]:8022", ("::1/128",)),
        ("https://ca.example", "192.0.2.1:8022", ()),
        ("http://127.0.0.1:8022", "127.0.0.1:8022", ()),
    ],
)
def test_a_local_proxy_is_believed_where_there_has_to_be_one(
    issuer: str, listen: str, proxies: tuple[str, ...]
) -> None:
    assert settings.default_proxies(issuer, listen) == proxies


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    chosen = Settings(
        tmp_path,
        "https://ca.example",
        "[::1]:1",
        'sqlite:////a"b\\c',
        ("*.a",),
        ("x", "y"),
        ("::1/128",),
    )
    assert settings.parse(settings.render(chosen), tmp_path) == chosen


@pytest.mark.parametrize(
    "text",
    ["", "issuer", 'issuer = "https://a"', 'issuer = 1\nlisten = "127.0.0.1:1"']
    + [
        f'issuer = "https://a"\nlisten = "127.0.0.1:1"\n{line}' for line in ("x = 1", "clients = 1")
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured):
        settings.parse(text, tmp_path)

"""Which key signs what hosts obey: the statements, at the CA and at a host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ca.errors import Conflict, InvalidRequest, Misconfigured
from ca.keys import files, keyring, sshsig, statements
from sshd_hook import statement
from sshd_hook.agent import host as agent_host
from sshd_hook.agent import keys
from sshd_hook.statement import NAMESPACE, Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PASSPHRASE = b"a passphrase of a test"
NOW = 1_795_500_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca")
    keyring.create(folder, PASSPHRASE)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _quick_to_unlock() -> Iterator[None]:
    """Keys that are as easy to guess as to open: twenty tests make some fifty of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "KDF_ROUNDS", 1)
        yield


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The keys of a CA, the recovery key among them: making them takes a second."""
    copy = tmp_path / "keys"
    copy.mkdir()
    for file in (made / "keys").iterdir():
        files.write_new(copy / file.name, file.read_bytes())
    return copy


def sign(key: Path, text: str, namespace: str = NAMESPACE) -> str:
    """As at an air-gapped machine, which has nothing but OpenSSH."""
    plain = key.with_name("plain")
    plain.write_bytes(key.read_bytes())
    plain.chmod(0o600)
    words = ["ssh-keygen", "-q", "-p", "-P", PASSPHRASE.decode(), "-N", "", "-f", str(plain)]
    subprocess.run(words, check=True, capture_output=True, timeout=20)
    (key.parent / "text").write_text(text)
    words = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(plain), "-n", namespace]
    words.append(str(key.parent / "text"))
    subprocess.run(words, check=True, capture_output=True, timeout=20)
    signature = (key.parent / "text.sig").read_text()
    (key.parent / "text.sig").unlink()
    return signature


def recover(folder: Path, now: int) -> Statement:
    text = statements.draft(folder, PASSPHRASE, now)
    return statements.recover(folder, text, sign(folder / "recovery.key", text))


def bundle_key(folder: Path) -> str:
    return files.public_line(files.read_public_key(folder / "bundle.pub"))


# --- at the CA ------------------------------------------------------------------------------


def test_a_new_key_is_named_by_the_one_before_it(folder: Path) -> None:
    first = bundle_key(folder)

    second = statements.rotate(folder, PASSPHRASE, NOW).bundle_key
    third = statements.rotate(folder, PASSPHRASE, NOW).bundle_key

    kept = statements.read(folder)
    named = [statement.parse(statement.split(one)[0]) for one in kept.signed]
    assert [(one.number, one.bundle_key) for one in named] == [(NOW, second), (NOW + 1, third)]
    assert (kept.number, kept.recovery) == (NOW + 1, 0)
    assert bundle_key(folder) == third != first
    private = files.read_private_key(folder / "bundle.key", PASSPHRASE)
    assert files.public_line(files.public_blob(private)) == third


def test_the_recovery_key_names_one_and_what_was_before_counts_no_more(folder: Path) -> None:
    statements.rotate(folder, PASSPHRASE, NOW + 500)

    made = recover(folder, NOW + 100)

    kept = statements.read(folder)
    assert len(kept.signed) == 1
    assert (kept.number, kept.recovery) == (NOW + 100, NOW + 100)
    assert bundle_key(folder) == made.bundle_key
    assert len(statements.read(folder).signed) == 1
    statements.rotate(folder, PASSPHRASE, NOW)
    assert (statements.read(folder).number, statements.read(folder).recovery) == (
        NOW + 101,
        NOW + 100,
    )


def test_a_draft_changes_nothing(folder: Path) -> None:
    before = bundle_key(folder)

    statements.draft(folder, PASSPHRASE, NOW)

    assert bundle_key(folder) == before
    assert statements.read(folder) == statements.Statements()


def test_an_older_statement_of_the_recovery_key_is_refused(folder: Path) -> None:
    old = statements.draft(folder, PASSPHRASE, NOW)
    signature = sign(folder / "recovery.key", old)
    recover(folder, NOW + 1)

    with pytest.raises(Conflict, match="a later statement"):
        statements.recover(folder, old, signature)


@pytest.mark.parametrize(
    ("key", "namespace", "change"),
    [
        ("host_ca.key", NAMESPACE, lambda text: text),
        ("recovery.key", "amrgate-bundle", lambda text: text),
        ("recovery.key", NAMESPACE, lambda text: text.replace("number 1", "number 2")),
        ("recovery.key", NAMESPACE, lambda text: text + "\n"),
    ],
    ids=["another key", "another purpose", "another text", "not to the letter"],
)
def test_what_the_recovery_key_did_not_say_is_refused(
    folder: Path, key: str, namespace: str, change: Callable[[str], str]
) -> None:
    before = bundle_key(folder)
    text = statements.draft(folder, PASSPHRASE, NOW)
    signature = sign(folder / key, text, namespace)

    with pytest.raises(InvalidRequest):
        statements.recover(folder, change(text), signature)

    assert bundle_key(folder) == before


def test_only_the_key_that_was_drafted_last_takes_over(folder: Path) -> None:
    text = statements.draft(folder, PASSPHRASE, NOW)
    statements.draft(folder, PASSPHRASE, NOW + 1)

    with pytest.raises(InvalidRequest, match="another key"):
        statements.recover(folder, text, sign(folder / "recovery.key", text))


@pytest.mark.parametrize("stopped_at", [1, 2])
@pytest.mark.parametrize("by", ["rotate", "recover"])
def test_whoever_is_stopped_half_way_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, by: str, stopped_at: int
) -> None:
    text = statements.draft(folder, PASSPHRASE, NOW)
    signature = sign(folder / "recovery.key", text)

    def change() -> Statement:
        if by == "rotate":
            return statements.rotate(folder, PASSPHRASE, NOW)
        return statements.recover(folder, text, signature)

    moves = []
    real = Path.replace

    def stop(path: Path, target: Path) -> Path:
        if (
            path.name.startswith("bundle.next.")
            and Path(target).name.startswith("bundle.")
            and ("next" not in Path(target).name)
        ):
            moves.append(path)
            if len(moves) == stopped_at:
                raise KeyboardInterrupt
        return real(path, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        change()
    monkeypatch.undo()
    with pytest.raises(Misconfigured, match="again"):
        statements.read(folder)

    made = change()

    assert statements.read(folder).number == made.number == NOW
    assert bundle_key(folder) == made.bundle_key
    private = files.read_private_key(folder / "bundle.key", PASSPHRASE)
    assert files.public_line(files.public_blob(private)) == made.bundle_key


def test_signatures_agree_with_ssh_keygens(folder: Path) -> None:
    public = files.read_public_key(folder / "recovery.pub")
    signature = sign(folder / "recovery.key", "text")

    sshsig.verify_file(public, NAMESPACE, b"text", signature)
    for data, namespace, armored in (
        (b"other", NAMESPACE, signature),
        (b"text", "other", signature),
        (b"text", NAMESPACE, signature.replace("A", "B", 1)),
        (b"text", NAMESPACE, ""),
        (b"text", NAMESPACE, f"{signature}x"),
    ):
        with pytest.raises(sshsig.BadSignature):
            sshsig.verify_file(public, namespace, data, armored)


# --- at a host ------------------------------------------------------------------------------


@pytest.fixture
def host(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """A host that was enrolled with the present key; what it takes for the bundle key now."""
    signers = tmp_path / "bundle-signers"
    monkeypatch.setattr(agent_host, "BUNDLE_SIGNERS", str(signers))
    monkeypatch.setattr(agent_host, "RECOVERY_SIGNERS", str(tmp_path / "recovery-signers"))
    signers.write_bytes(keys.render(bundle_key(folder), keys.Floor()))
    recovery = files.public_line(files.read_public_key(folder / "recovery.pub"))
    (tmp_path / "recovery-signers").write_bytes(agent_host.signers(recovery, NAMESPACE))
    return lambda: " ".join(signers.read_text().split()[-2:])


def signed(folder: Path) -> tuple[str, ...]:
    return statements.read(folder).signed


def test_a_host_follows_however_many_it_missed(folder: Path, host: Callable[[], str]) -> None:
    for _ in range(3):
        statements.rotate(folder, PASSPHRASE, NOW)

    keys.follow(signed(folder))

    assert host() == bundle_key(folder)
    assert keys.load_floor() == keys.Floor(NOW + 2, 0)
    keys.follow(signed(folder))
    assert host() == bundle_key(folder)


def test_a_thief_of_the_bundle_key_loses_to_the_recovery_key(
    folder: Path, host: Callable[[], str], capfd: pytest.CaptureFixture[str]
) -> None:
    stolen = folder / "stolen.key"
    files.write_new(stolen, (folder / "bundle.key").read_bytes())
    evil = statement.render(Statement(10**18 - 1, "ssh-ed25519 " + "A" * 68))
    theirs = evil + sign(stolen, evil)
    keys.follow([theirs])
    assert host() == "ssh-ed25519 " + "A" * 68  # so far the key's word is good

    recover(folder, NOW)
    keys.follow(signed(folder))
    assert host() == bundle_key(folder)

    for later in ([theirs], [theirs, *signed(folder)], [*signed(folder), theirs]):
        keys.follow(later)
        assert host() == bundle_key(folder)
    assert "is refused" in capfd.readouterr().err


def test_what_is_older_than_the_recovery_keys_word_counts_no_more(
    folder: Path, host: Callable[[], str]
) -> None:
    old = statements.draft(folder, PASSPHRASE, NOW - 1)
    old += sign(folder / "recovery.key", old)
    by_present = statement.render(Statement(NOW - 1, "ssh-ed25519 " + "A" * 68))
    recover(folder, NOW)
    keys.follow(signed(folder))
    by_present += sign(folder / "bundle.key", by_present)

    keys.follow([old, by_present])

    assert host() == bundle_key(folder)
    assert keys.load_floor() == keys.Floor(NOW, NOW)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one.replace("number 1", "number 2"),
        lambda one: one[: len(one) // 2],
        lambda _one: "",
        lambda one: one * 2,
        lambda one: f"x{one}",
        lambda one: one + "x" * 5000,
    ],
)
def test_what_nobody_signed_is_left_out_and_logged(
    folder: Path,
    host: Callable[[], str],
    spoil: Callable[[str], str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = host()
    statements.rotate(folder, PASSPHRASE, NOW)
    (good,) = signed(folder)

    keys.follow([spoil(good)])

    assert host() == before
    assert "is refused" in capfd.readouterr().err


def test_another_cas_statement_is_refused(
    folder: Path, host: Callable[[], str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    keyring.create(other, PASSPHRASE)
    recover(other / "keys", NOW + 5)
    before = host()

    keys.follow(signed(other / "keys"))

    assert host() == before
    assert folder


def test_the_texts_have_one_form() -> None:
    text = statement.render(Statement(7, "ssh-ed25519 AAAA"))

    assert vars_of(statement.parse(text)) == (7, "ssh-ed25519 AAAA")
    for bad in (text.upper(), text[:-1], text.replace("7", "07"), text.replace("7", "0"), ""):
        with pytest.raises(statement.StatementError):
            statement.parse(bad)


def vars_of(one: Statement) -> tuple[int, str]:
    return one.number, one.bundle_key

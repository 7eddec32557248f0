"""The operator's commands that see and revoke certificates."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from ca import settings
from ca.keys.files import public_line
from ca.keys.keyring import key_path
from ca.ops.main import main
from ca.store import revocations
from ca.store.engine import reading
from tests.issuing import add_session, issue, new_key
from tests.revoking import another_session, last_record, listed, serial_of, serials, version

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from ca.services import Services

WHY = "laptop stolen"


@pytest.fixture
def data(services: Services, tmp_path: Path) -> Path:
    """The folder of the CA, as far as these commands look into it."""
    (tmp_path / settings.SETTINGS_FILE).write_text(settings.render(services.settings))
    for role, key in (("user_ca", services.keys.user_ca), ("host_ca", services.keys.host_ca)):
        path = key_path(tmp_path, role).with_suffix(".pub")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{public_line(key.public_key)} amrgate {role}\n")
    return tmp_path


def run(data: Path, group: str, command: str, *words: object) -> Result:
    arguments = [group, command, "--data", str(data), *map(str, words)]
    return CliRunner().invoke(main, arguments)


def check(data: Path, group: str, command: str, *words: object) -> str:
    result = run(data, group, command, *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def keys_listed(services: Services) -> list[str]:
    with reading(services.engine) as connection:
        return revocations.listed(connection).keys


def test_what_was_issued_is_listed(services: Services, data: Path) -> None:
    alice, bob = add_session(services), add_session(services, "bob")
    (first,), (second,) = serials(services, alice), serials(services, bob)
    check(data, "certificate", "revoke", first)

    lines = check(data, "certificate", "list").splitlines()
    (of_bob,) = json.loads(check(data, "certificate", "list", "--of", "bob", "--json"))

    assert [line.split()[:2] for line in lines] == [[str(first), "alice"], [str(second), "bob"]]
    assert [line.endswith("revoked") for line in lines] == [True, False]
    assert (of_bob["serial"], of_bob["session"]) == (str(second), bob.handle)
    assert (of_bob["of"], of_bob["id"], of_bob["kind"]) == ("bob", bob.user.id, "user")
    assert of_bob["revoked"] is None
    mistyped = run(data, "certificate", "list", "--of", "nobody")
    assert (mistyped.exit_code, mistyped.stdout) == (1, "")
    assert "There is no user or host 'nobody'" in mistyped.stderr


def test_a_serial_a_session_and_a_key_are_told_apart(
    services: Services, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "olga")
    alice = add_session(services)
    (one,), (kept,) = serials(services, alice), serials(services, alice)
    session = another_session(services, alice)
    of_session = serials(services, session)
    key = "SHA256:uTiVOzHO0ooNaScEmDtPEcA9mVsvT2eAFA4w5gMbrYk"

    said = check(data, "certificate", "revoke", one, session.handle, key, "--why", WHY)
    again = check(data, "certificate", "revoke", one, key)

    assert said.splitlines() == [f"{what} is revoked." for what in (one, session.handle, key)]
    assert again.splitlines() == [f"{what} was revoked before." for what in (one, key)]
    assert listed(services.engine) == {one} | of_session
    assert kept not in listed(services.engine)
    (digest,) = keys_listed(services)
    assert digest == "b938953b31ced28a0d692704983b4f11c03d995b2f4f6780140e30e6031bad89"
    assert last_record(services.engine) == ("key:revoke", "operator olga", {"why": WHY})


NOTHING = {
    "0": "is neither a serial",
    "-1": "o such option",
    "9223372036854775808": "is neither a serial",
    "alice": "is neither a serial",
    "SHA256:uTiVOzHO0ooNaScEmDtPEcA9mVsvT2eAFA4w5gMbrYl": "is neither a serial",
    "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48": "is neither a serial",
    "123": "no such certificate",
    str(uuid.UUID(int=7)): "no session",
}


def test_what_is_nothing_to_revoke_changes_nothing(services: Services, data: Path) -> None:
    (good,) = serials(services, add_session(services))

    for what, words in NOTHING.items():
        result = run(data, "certificate", "revoke", what, good)

        assert result.exit_code in (1, 2), result.output
        assert words in result.stderr, what
        assert "Traceback" not in result.output

    assert (listed(services.engine), version(services.engine)) == (set(), 1)


def test_the_cas_own_keys_are_not_revoked(services: Services, data: Path) -> None:
    for role in ("user_ca", "host_ca"):
        path = key_path(data, role).with_suffix(".pub")
        fingerprint = fingerprint_of(path.read_text())

        result = run(data, "certificate", "revoke", fingerprint)

        assert result.exit_code == 1
        assert "own key" in result.stderr
    assert keys_listed(services) == []


def fingerprint_of(line: str) -> str:
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def test_a_user_is_logged_out_everywhere_and_may_come_back(services: Services, data: Path) -> None:
    alice = add_session(services)
    revoked = serials(services, alice) | serials(services, another_session(services, alice))

    said = check(data, "user", "revoke", "alice")

    assert said == "alice has to log in again. Revoked: 2 certificates.\n"
    assert listed(services.engine) == revoked
    later = serial_of(issue(services, another_session(services, alice), key=new_key()))
    assert later not in listed(services.engine)
    assert run(data, "user", "revoke", "nobody").exit_code == 1

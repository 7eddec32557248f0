"""Mail goes out by SMTP, to a server of every kind: none of its faults loses or holds up anything."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import capture_logs

from ca import mail, settings, smtp
from ca.app import open_services
from ca.errors import Misconfigured
from ca.settings import Settings
from tests.databases import new_sqlite
from tests.hosts import wait_for
from tests.smtp_server import MailServer, mail_server
from tests.web import Browser, add_person, keyring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SENDER = "amrgate@acme.example"
PASSWORD = "a-secret-of-the-mail-server"
ELSEWHERE = "127.1"  # the loopback address, in a spelling that is not taken for it


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(smtp, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(smtp, "TIMEOUT", 0.5)


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def at(data: Path, port: int, host: str = "127.0.0.1", user: str = "") -> Settings:
    file = data / "smtp-password"
    if user:
        file.touch(0o600)
        file.write_text(f"{PASSWORD}\n")
    return Settings(
        data=data,
        issuer="http://127.0.0.1:1",
        listen="127.0.0.1:1",
        database=settings.default_database(data),
        smtp=f"{host}:{port}",
        smtp_user=user,
        smtp_password_file=str(file) if user else "",
        mail_from=SENDER,
    )


def write(data: Path, subject: str = "Hello", to: str = "alice@acme.example") -> None:
    mail.send(data, to, subject, "A line.\n.\nÜber a dot.\n")


def left(data: Path) -> list[Path]:
    return sorted(data.glob("mail/*"))


def test_a_message_is_sent_and_removed(tmp_path: Path, server: MailServer) -> None:
    write(tmp_path, "Left by the last process")
    with smtp.sending(at(tmp_path, server.port)):
        wait_for(lambda: not left(tmp_path))
        write(tmp_path, "Written meanwhile")
        wait_for(lambda: not left(tmp_path))

    first, second = server.taken
    assert (first.sender, first.recipient) == (SENDER, "alice@acme.example")
    assert (first.message["From"], first.message["To"]) == (SENDER, "alice@acme.example")
    assert first.message.get_content().replace("\r\n", "\n") == "A line.\n.\nÜber a dot.\n"
    assert first.message["Subject"] == "Left by the last process"
    assert second.message["Subject"] == "Written meanwhile"
    assert first.message["Message-ID"] != second.message["Message-ID"]


def test_a_server_that_hangs_holds_up_nobody(tmp_path: Path, server: MailServer) -> None:
    """Also not those who come to a service that stops meanwhile."""
    server.awake.clear()
    chosen = replace(at(tmp_path, server.port), database=new_sqlite(tmp_path))
    with open_services(chosen, keyring()) as services:
        alice = add_person(services, "alice")
        write(tmp_path)
        assert server.connected.wait(10)
        browser = Browser(services)
        answer = browser.submit(browser.get("/forgot"), username=alice.username)
        assert "Look at your mail" in answer.text
        assert len(left(tmp_path)) == 2
        assert not server.taken

        server.awake.set()
        wait_for(lambda: not left(tmp_path))
    assert "a new password" in server.taken[-1].message["Subject"]


def test_one_that_is_down_gets_all_once_it_is_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = str(tmp_path / "mail")
    with capture_logs() as logs, smtp.sending(at(tmp_path, port)):
        for number in range(3):
            write(tmp_path, str(number))
        wait_for(lambda: sum(each["event"] == "mail_waits" for each in logs) >= 3)
        assert len(left(tmp_path)) == 3
        with mail_server(port=port) as server:
            wait_for(lambda: not left(tmp_path), 20)
            wait_for(lambda: logs[-1]["event"] == "mail_sent")

    assert [taken.message["Subject"] for taken in server.taken] == ["0", "1", "2"]
    waits = [each for each in logs if each["event"] == "mail_waits"]
    assert {each["folder"] for each in waits} == {folder}
    assert waits[0]["error"] == "ConnectionRefusedError"
    pauses = [each["again_in"] for each in waits]
    assert pauses[1] == 2 * pauses[0]
    assert (logs[-1]["folder"], logs[-1]["again"]) == (folder, True)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_what_it_does_not_take_now_is_tried_again(
    tmp_path: Path, server: MailServer, command: str
) -> None:
    server.replies[command] = "451 try again"
    with capture_logs() as logs, smtp.sending(at(tmp_path, server.port)):
        write(tmp_path)
        wait_for(lambda: [each for each in logs if each["event"] == "mail_waits"])
        assert len(left(tmp_path)) == 1
        server.replies.clear()
        wait_for(lambda: not left(tmp_path))
    assert len(server.taken) == 1
    assert next(each for each in logs if each["event"] == "mail_waits")["code"] == 451


def test_one_bad_address_neither_stops_the_others_nor_is_lost(
    tmp_path: Path, server: MailServer
) -> None:
    server.replies["nobody@acme.example"] = "550 there is nobody"
    server.replies["slow@acme.example"] = "450 later"
    with capture_logs() as logs, smtp.sending(at(tmp_path, server.port)):
        for name in ("nobody", "slow", "alice"):
            write(tmp_path, name, f"{name}@acme.example")
        wait_for(lambda: server.taken)
        wait_for((tmp_path / "mail" / smtp.REFUSED).exists)
    assert {taken.recipient for taken in server.taken} == {"alice@acme.example"}
    (refused,) = (tmp_path / "mail" / smtp.REFUSED).glob("*.eml")
    assert b"nobody@" in refused.read_bytes()
    (waiting,) = (tmp_path / "mail").glob("*.eml")
    assert b"slow@" in waiting.read_bytes()
    assert next(each for each in logs if each["event"] == "mail_refused")["code"] == 550


def test_several_workers_send_each_message_once(tmp_path: Path, server: MailServer) -> None:
    for number in range(40):
        write(tmp_path, str(number))
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(smtp.sending(at(tmp_path, server.port)))
        wait_for(lambda: not left(tmp_path))
    assert sorted(int(taken.message["Subject"]) for taken in server.taken) == list(range(40))


def test_one_elsewhere_is_given_nothing_in_clear(tmp_path: Path, server: MailServer) -> None:
    chosen = at(tmp_path, server.port, ELSEWHERE)
    with capture_logs() as logs, smtp.sending(chosen):
        write(tmp_path)
        wait_for(lambda: logs[-1]["event"] == "mail_waits")
    assert logs[-1]["error"] == "SMTPNotSupportedError"
    assert not server.taken
    assert len(left(tmp_path)) == 1


@pytest.mark.parametrize("from_start", [False, True], ids=["STARTTLS", "as on port 465"])
def test_with_tls_a_login_and_a_certificate_that_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, from_start: bool
) -> None:
    with (
        certified(tmp_path) as tls,
        mail_server(tls, from_start=from_start) as server,
        capture_logs() as logs,
    ):
        if from_start:
            assert smtp.TLS_PORT == 465, "on which only root may listen"
            monkeypatch.setattr(smtp, "TLS_PORT", server.port)
        chosen = at(tmp_path, server.port, ELSEWHERE, "amrgate")
        write(tmp_path)
        with smtp.sending(chosen):
            wait_for(lambda: logs[-1]["event"] == "mail_waits")
        assert logs[-1]["error"] == "SSLCertVerificationError"
        assert not server.taken

        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate"))
        with smtp.sending(chosen):
            wait_for(lambda: not left(tmp_path))

        server.replies["AUTH"] = "535 wrong"
        write(tmp_path)
        with smtp.sending(chosen):
            wait_for(lambda: logs[-1].get("error") == "SMTPAuthenticationError")
    (taken,) = server.taken
    assert taken.encrypted
    assert taken.credentials == f"\0amrgate\0{PASSWORD}"
    assert len(left(tmp_path)) == 1, "a login that is refused is no fault of the message"
    assert PASSWORD not in str(logs)


@contextmanager
def certified(folder: Path) -> Iterator[ssl.SSLContext]:
    """A server's side of TLS, whose certificate is its own authority's: `folder`/certificate."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(ELSEWHERE)]), critical=False)
        .sign(key, None)
    )
    (folder / "certificate").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    yield context


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('mail_from = "a@b.example"', "'smtp' is missing"),
        ('smtp = "mail"\nmail_from = "a@b.example"', "must be host:port"),
        ('smtp = "mail:0"\nmail_from = "a@b.example"', "must be host:port"),
        ('smtp = "::1:25"\nmail_from = "a@b.example"', "must be host:port"),
        ('smtp = "mail:25"', "'mail_from' is ''"),
        ('smtp = "mail:25"\nmail_from = "a@b>\\r\\nRCPT"', "must be the address"),
        ('smtp = "mail:25"\nmail_from = "a@b.example"\nsmtp_user = "a"', "belong together"),
        (
            'smtp = "mail:25"\nmail_from = "a@b.example"\nsmtp_user = "a"\nsmtp_password_file = "x"',
            "must begin with /",
        ),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path: Path, lines: str, sentence: str) -> None:
    text = f'issuer = "https://ca.example"\nlisten = "127.0.0.1:1"\n{lines}'
    with pytest.raises(Misconfigured, match=sentence):
        settings.parse(text, tmp_path)


def test_settings_are_read_as_they_are_written(tmp_path: Path) -> None:
    chosen = at(tmp_path, 465, "[::1]", "amrgate")
    assert settings.parse(settings.render(chosen), tmp_path) == chosen
    assert chosen.smtp_server == ("::1", 465)
    assert smtp.read_password(chosen) == PASSWORD


@pytest.mark.parametrize(
    ("content", "mode", "sentence"),
    [
        (b"secret\n", 0o644, "must not be open to others"),
        (b"", 0o600, "one line"),
        (b"a\nb\n", 0o600, "one line"),
        (b"\xff", 0o600, "not text"),
        (None, 0, "No such file"),
    ],
)
def test_a_password_that_cannot_be_one_is_told_at_the_start(
    tmp_path: Path, content: bytes | None, mode: int, sentence: str
) -> None:
    chosen = at(tmp_path, 25, "127.0.0.1", "amrgate")
    file = tmp_path / "smtp-password"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    with pytest.raises(Misconfigured, match=sentence):
        smtp.read_password(chosen)

"""Sending what `ca.mail` left in its folder, from a thread of each worker.

Nobody waits for a mail server: a message is a file first, and is removed once the server has taken
it. What it does not take now is tried again; what it says it never will lies in `refused`. A
message may arrive twice, with the same Message-ID, if we die between the two; none is lost.
"""

import fcntl
import os
import smtplib
import ssl
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import structlog

from ca.errors import Misconfigured
from ca.mail import FOLDER, SUFFIX
from ca.settings import Settings, is_loopback

LOOK_EVERY = 1  # seconds between two looks into the folder
FIRST_PAUSE, LONGEST_PAUSE = 2, 300  # seconds after a fault: each is twice the one before
TIMEOUT = 5  # seconds that the server may be silent
CLOSING = 1  # seconds that a message under way gets when we are told to stop
TLS_PORT = 465  # TLS from the start (RFC 8314, section 3.3)
PERMANENT = 500  # and above: not to be tried again (RFC 5321, section 4.2.1)
REFUSED = "refused"
MAX_PASSWORD = 1024  # bytes

log = structlog.get_logger()


@contextmanager
def sending(settings: Settings) -> Iterator[None]:
    """Send mail meanwhile, if there is a server for it."""
    if not settings.smtp:
        yield
        return
    sender = Sender(settings)
    try:
        yield
    finally:
        sender.close()


def read_password(settings: Settings) -> str:
    """The password for the mail server; empty where none is needed.

    Raises:
        Misconfigured: its file cannot be read, is open to others, or is not one line.
    """
    path = settings.smtp_password_file
    if not path:
        return ""
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            password = file.read(MAX_PASSWORD).decode().rstrip("\n")
    except OSError as error:
        raise Misconfigured(f"'smtp_password_file' {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"'smtp_password_file' {path} is not text.") from error
    if stat.S_IMODE(mode) & 0o077:
        raise Misconfigured(f"{path} must not be open to others: chmod 600 {path}.")
    if not password.isprintable() or not password:
        raise Misconfigured(f"{path} must have one line, the password.")
    return password


class Sender:
    """Sends what lies in the folder, and what comes there, until it is closed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.data.absolute() / FOLDER
        self._pause = 0  # seconds; 0 while all is well
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mail-sender", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; what is still in the folder is sent at the next start."""
        self._closed.set()
        self._thread.join(CLOSING)

    def _run(self) -> None:
        while not self._closed.wait(self._pause or LOOK_EVERY):
            try:
                sent = self._send_all()
            except Exception as error:  # noqa: BLE001 whatever it is, the mail behind it has to go
                self._note_fault(error)
            else:
                self._note_success(sent)

    def _send_all(self) -> int:
        waiting = sorted(self._folder.glob(f"*{SUFFIX}"))
        if not waiting:
            return 0
        sent = 0
        later: smtplib.SMTPException | None = None
        with connect(self._settings) as server:
            for path in waiting:
                if self._closed.is_set():
                    break
                try:
                    sent += self._send(server, path)
                except smtplib.SMTPServerDisconnected:
                    raise
                except smtplib.SMTPException as error:
                    later = error  # of this message alone: the others do not wait for it
        if later:
            raise later
        return sent

    def _send(self, server: smtplib.SMTP, path: Path) -> int:
        """Send one message, unless another process does: 1 if it is sent, otherwise 0."""
        with claimed(path) as content:
            if content is None:
                return 0
            try:
                server.send_message(self._complete(content, path), self._settings.mail_from)
            except (smtplib.SMTPNotSupportedError, ValueError) as error:
                self._refuse(path, error)
                return 0
            except smtplib.SMTPException as error:
                if _code_of(error) < PERMANENT or isinstance(error, smtplib.SMTPSenderRefused):
                    raise
                self._refuse(path, error)
                return 0
            path.unlink()
        return 1

    def _complete(self, content: bytes, path: Path) -> EmailMessage:
        message = message_from_bytes(content, policy=policy.SMTP)
        sender = self._settings.mail_from
        message["From"] = sender
        message["Message-ID"] = f"<{path.stem}@{sender.rpartition('@')[2]}>"
        return message

    def _refuse(self, path: Path, error: Exception) -> None:
        folder = self._folder / REFUSED
        folder.mkdir(mode=0o700, exist_ok=True)
        path.rename(folder / path.name)
        log.error("mail_refused", folder=str(folder), file=path.name, code=_code_of(error))

    def _note_fault(self, error: Exception) -> None:
        # Neither a server's words nor an address: both may hold what is nobody else's.
        about = error.message if isinstance(error, Misconfigured) else type(error).__name__
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if self._pause else FIRST_PAUSE
        log.error(
            "mail_waits",
            folder=str(self._folder),
            server=self._settings.smtp,
            error=about,
            code=_code_of(error),
            again_in=self._pause,
        )

    def _note_success(self, sent: int) -> None:
        if sent:
            log.info("mail_sent", folder=str(self._folder), count=sent, again=bool(self._pause))
        self._pause = 0


@contextmanager
def connect(settings: Settings) -> Iterator[smtplib.SMTP]:
    """A connection to the mail server, logged in and unreadable for others on the way.

    Raises:
        OSError: it cannot be reached, is too slow, or has no certificate that we trust.
        SMTPException: it does not want us, or has no STARTTLS.
        Misconfigured: there is no password to log in with.
    """
    host, port = settings.smtp_server
    password = read_password(settings)
    context = ssl.create_default_context()
    if port == TLS_PORT:
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT)
    try:
        if port != TLS_PORT and not is_loopback(host):
            server.starttls(context=context)
        if password:
            server.login(settings.smtp_user, password)
        yield server
        server.quit()
    finally:
        server.close()


@contextmanager
def claimed(path: Path) -> Iterator[bytes | None]:
    """What is in the file, which is ours alone meanwhile; None if it is another process's or gone.

    A lock and not another name: it ends with the process that has it, so none is left behind.
    """
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # Whoever had it before us may have sent it meanwhile.
        yield file.read() if path.exists() else None


def _code_of(error: Exception) -> int:
    """The server's reply code, the least of all if it gave several; 0 if it gave none."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return min(code for code, _words in error.recipients.values())
    return error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else 0

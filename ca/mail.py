"""E-mail: `.eml` files in a folder, which any mail program opens; `ca.smtp` sends what lies there."""

import os
import secrets
import time
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

import structlog

FOLDER = "mail"
SUFFIX = ".eml"

log = structlog.get_logger()


def send(data: Path, to: str, subject: str, text: str) -> None:
    """Leave a message to `to` in the data folder `data`.

    A message that cannot be written is logged and given up: what it tells has happened.
    """
    message = EmailMessage()
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = formatdate(time.time())
    # As it is: people without a mail server take links from the file, which "=" would cut in two.
    message.set_content(text, cte="7bit" if text.isascii() else None)
    folder = data / FOLDER
    second, rest = divmod(time.time_ns(), 1_000_000_000)
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(second))
    name = f"{moment}.{rest:09}Z-{secrets.token_hex(4)}"  # the oldest comes first
    part = folder / f"{name}.part"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 a descriptor
            file.write(bytes(message))
            file.flush()
            os.fsync(file.fileno())
        part.rename(part.with_suffix(SUFFIX))  # whole from the moment it can be seen
    except OSError:
        log.exception("mail_lost", folder=str(folder))
        return
    log.info("mail_written", folder=str(folder), file=name + SUFFIX)

"""Run as a program: issues certificates until it is killed. See `test_kill.py`.

Arguments: the database's URL, a folder, how many times, a seed. Each child writes what its key
signed, before it is answered, to `<number>.signed`, and what it answered to `<number>.issued`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from ca.issuance import bounds
from ca.issuance.sign import Bearer, Issuer
from ca.keys.files import FileSigner, public_blob
from ca.store.engine import open_engine, reading
from ca.store.tables import grant_sessions
from tests.web import keyring

AT_ONCE = 16
LONGEST = 0.06  # seconds that a child lives on after its first certificate


class Noted(FileSigner):
    """A key that notes what it signed, and by now cannot take back."""

    def __init__(self, path: Path) -> None:
        super().__init__(Ed25519PrivateKey.generate())
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def sign(self, data: bytes) -> bytes:
        signature = super().sign(data)
        os.write(self._file, data.hex().encode() + b"\n")
        return signature


def issue(url: str, path: Path, ready: int) -> NoReturn:
    """Issue for ever, to one session: nobody bounds that here."""
    bounds.OF_LOGIN = bounds.OF_USER = sys.maxsize
    engine = open_engine(url)
    key = Noted(path.with_suffix(".signed"))
    issued = os.open(path.with_suffix(".issued"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with reading(engine) as connection:
        session = connection.execute(select(grant_sessions)).one()
    bearer = Bearer(session.user_id, session.sid, "a token")

    async def ask(issuer: Issuer) -> None:
        while True:
            subject = public_blob(Ed25519PrivateKey.generate())
            blob = await issuer.issue_user(bearer, subject, 3600, int(time.time()))
            os.write(issued, blob.hex().encode() + b"\n")
            os.write(ready, b".")

    async def run() -> None:
        issuer = Issuer(engine, replace(keyring(), user_ca=key))
        await asyncio.gather(*[ask(issuer) for _ in range(AT_ONCE)])

    asyncio.run(run())
    os._exit(1)


def main() -> None:
    url, folder, kills, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    chance = random.Random(seed)
    for number in range(kills):
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:
            issue(url, folder / str(number), tell)
        os.read(ready, 1)
        time.sleep(chance.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, status
        os.close(ready)
        os.close(tell)


if __name__ == "__main__":
    main()

"""The user database: a map of accounts, questions about them, and programs that flood it."""

from __future__ import annotations

import json
from typing import Any

from sshd_hook.accounts import Accounts

NAME = "abcdefg123456-main-bvxea6i--app"
WORKER = f"{NAME}--queue"
FIRST = 400_000
MAP = Accounts(FIRST, {NAME: FIRST + 1, WORKER: FIRST + 2}, {f"{NAME}--old": FIRST + 3})
NOT_FOUND = b'{"error":"io.systemd.UserDatabase.NoRecordFound","parameters":{}}\0'
USER_RECORD = (
    '{{"parameters":{{"record":{{"userName":"{name}","uid":{uid},"gid":{uid},'
    '"homeDirectory":"/srv/amrgate/{home}","shell":"/bin/sh","disposition":"regular",'
    '"service":"io.amrgate"}},"incomplete":false}}}}\0'
)
GROUP_RECORD = (
    '{{"parameters":{{"record":{{"groupName":"{name}","gid":{uid},"disposition":"regular",'
    '"service":"io.amrgate"}},"incomplete":false}}}}\0'
)
SECONDS = 20

FLOOD = """
import contextlib, os, socket, sys
while True:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[1])
        connection.sendall((os.fsencode(sys.argv[2]) + b"\\0") * int(sys.argv[3]))
"""


def question(method: str = "GetUserRecord", **parameters: Any) -> bytes:
    asked = {"method": f"io.systemd.UserDatabase.{method}", "parameters": parameters}
    return json.dumps(asked).encode()


def by_name(name: str) -> bytes:
    return question(userName=name, service="io.amrgate")

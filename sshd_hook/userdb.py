"""The user database: makes every name of the service grammar a Unix account, for `getpwnam`.

nss-systemd asks it by varlink: a JSON object that ends in a NUL, and one such object as the
answer (systemd's "User/Group Record Lookup API via Varlink"). A login asks about twenty times,
and so does whoever looks up any name on the machine; sshd and PAM wait for each answer. So there
is one loop that never blocks, and a client that is slow, idle or loud loses its connection.

It never calls the name service: that would ask this process, which could not answer.

The name service asks every socket in its folder, and the first answer that finds somebody counts.
It does not wait for a place in a queue, so any user could fill ours and make names vanish. Hence
there are two: one for everybody, and one that only root can reach, as who sshd and PAM ask.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import struct
import time
from collections import Counter

from sshd_hook import accounts
from sshd_hook.names import is_project, parse_service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

SERVICE = "io.amrgate"
SERVICES = (SERVICE, "io.amrgate.root")  # as the sockets are called, and so how each is asked
SHARED_NAME = "amrgate"  # what the shared uid is called where only the uid is known
EMPTY_HOME = "shared"  # in the folder of homes; no service is called so
SHELL = "/bin/sh"  # bash would read the account's own files before a forced command

MAX_MESSAGE = 4096  # bytes
MAX_CLIENTS = 400
MAX_EACH = 64  # connections of one user, but root's, who asks for everybody's logins
MAX_AT_ONCE = 16  # questions in one go; the name service asks one a connection
MAX_ACCEPTS = 512  # per turn: the whole queue, for whoever finds it full is not told to wait
MAX_IDLE = 2.0  # seconds
TURN = 0.25  # seconds: how often the loop turns when nobody asks

NOT_FOUND = {"error": "io.systemd.UserDatabase.NoRecordFound", "parameters": {}}
USER = "io.systemd.UserDatabase.GetUserRecord"
GROUP = "io.systemd.UserDatabase.GetGroupRecord"


class Book:
    """The answers: from the map of uids, which is read again whenever it was replaced."""

    def __init__(self, path: str, homes: str) -> None:
        self._path = path
        self._homes = homes
        self._seen: tuple[int, int, int] | None = None
        self._accounts: accounts.Accounts | None = None
        self._names: dict[int, str] = {}

    def answer(self, message: bytes) -> bytes | None:
        """Answer one message, or say by None that its sender is to be dropped."""
        try:
            call = json.loads(message)
        except (ValueError, RecursionError):
            return None
        if not isinstance(call, dict):
            return None
        if call.get("oneway") is True:
            return b""
        self._refresh()
        record = self._record(call.get("method"), call.get("parameters"))
        reply = (
            NOT_FOUND if record is None else {"parameters": {"record": record, "incomplete": False}}
        )
        return json.dumps(reply, separators=(",", ":")).encode() + b"\0"

    def _record(self, method: Any, asked: Any) -> dict[str, Any] | None:
        if self._accounts is None or not isinstance(asked, dict) or method not in (USER, GROUP):
            return None
        service = asked.get("service", SERVICE)
        if service not in SERVICES:
            return None
        name_field, id_field = ("userName", "uid") if method == USER else ("groupName", "gid")
        name, number = asked.get(name_field), asked.get(id_field)
        found = self._by_number(number) if name is None else self._by_name(self._accounts, name)
        if found is None or number not in (None, found[1]):
            return None
        name, uid, home = found
        account: dict[str, Any] = {}
        if method == USER:
            account = {"gid": uid, "homeDirectory": os.path.join(self._homes, home), "shell": SHELL}
        kind = {"disposition": "regular", "service": service}
        return {name_field: name, id_field: uid, **account, **kind}

    def _by_name(self, known: accounts.Accounts, name: Any) -> tuple[str, int, str] | None:
        """The name, uid and home of whoever is called `name`."""
        if not isinstance(name, str):
            return None
        service = parse_service(name)
        if service is not None and service.record in known.live:
            return name, known.live[service.record], service.record
        if service is not None or is_project(name):
            return name, known.shared, EMPTY_HOME
        return None

    def _by_number(self, number: Any) -> tuple[str, int, str] | None:
        """The same of whoever has this uid. sshd's AllowGroups wants a name for every gid."""
        if type(number) is not int or number not in self._names:
            return None
        name = self._names[number]
        return name, number, EMPTY_HOME if name == SHARED_NAME else name

    def _refresh(self) -> None:
        """Read the map again if it is another file; keep the last good one if it cannot be read."""
        with contextlib.suppress(OSError, accounts.AccountsError):
            found = os.stat(self._path)
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen == self._seen or found.st_size > accounts.MAX_MAP:
                return
            with open(self._path, "rb") as file:
                fresh = accounts.parse(file.read())
            self._seen, self._accounts = seen, fresh
            self._names = {uid: name for name, uid in fresh.live.items()}
            self._names[fresh.shared] = SHARED_NAME


class Client:
    """One connection: what it has sent of an unfinished message, and when it last finished one."""

    __slots__ = ("connection", "heard", "inbox", "uid")

    def __init__(self, connection: socket.socket, now: float) -> None:
        self.connection = connection
        self.heard = now
        self.inbox = b""
        size = struct.calcsize("3i")
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        self.uid: int = struct.unpack("3i", peer)[1]


class Server:
    """The loop over all connections."""

    def __init__(self, listeners: Sequence[socket.socket], book: Book) -> None:
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._book = book
        self._clients: dict[int, Client] = {}
        self._held: Counter[int] = Counter()
        self._selector = selectors.DefaultSelector()
        for listener in listeners:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ)

    def turn(self) -> None:
        """Serve whoever has something to say, for at most one short read each."""
        events = self._selector.select(TURN)
        now = time.monotonic()
        for key, _ in events:
            if key.fd in self._listeners:
                self._accept(self._listeners[key.fd], now)
            elif key.fd in self._clients:
                self._serve(self._clients[key.fd], now)
        for client in [one for one in self._clients.values() if now - one.heard > MAX_IDLE]:
            self._drop(client)

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(MAX_ACCEPTS):
            if len(self._clients) >= MAX_CLIENTS:
                self._make_room()
            try:
                connection, _address = listener.accept()
            except BlockingIOError:
                return
            except OSError:  # no file descriptor left, or the client has gone
                self._make_room()
                return
            client = Client(connection, now)
            if client.uid != 0 and self._held[client.uid] >= MAX_EACH:
                connection.close()
                continue
            connection.setblocking(False)
            self._held[client.uid] += 1
            self._clients[connection.fileno()] = client
            self._selector.register(connection, selectors.EVENT_READ)

    def _make_room(self) -> None:
        """Drop the oldest connection of the user who has most: nobody can crowd out others."""
        for greedy, _count in self._held.most_common(1):
            mine = [client for client in self._clients.values() if client.uid == greedy]
            self._drop(min(mine, key=lambda client: client.heard))

    def _serve(self, client: Client, now: float) -> None:
        try:
            data = client.connection.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *messages, client.inbox = (client.inbox + data).split(b"\0")
        if messages:
            client.heard = now  # and not for a byte now and then
        too_much = len(client.inbox) > MAX_MESSAGE or len(messages) > MAX_AT_ONCE
        if not data or too_much or not self._reply(client, messages):
            self._drop(client)

    def _reply(self, client: Client, messages: list[bytes]) -> bool:
        for message in messages:
            reply = self._book.answer(message)
            if reply is None:
                return False
            try:
                if client.connection.send(reply) != len(reply):
                    return False  # it asks and does not read: nobody waits for it
            except OSError:
                return False
        return True

    def _drop(self, client: Client) -> None:
        del self._clients[client.connection.fileno()]
        self._held[client.uid] -= 1
        if not self._held[client.uid]:
            del self._held[client.uid]
        self._selector.unregister(client.connection)
        client.connection.close()


def serve(listeners: Sequence[socket.socket], book: Book, alive: Callable[[], None]) -> None:
    """Answer for ever. `alive` is called several times a second, for a watchdog."""
    server = Server(listeners, book)
    while True:
        server.turn()
        alive()

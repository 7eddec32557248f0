"""The user database in a process of its own: what it answers, and that nobody holds it up."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_hook import accounts, atomic, userdb
from sshd_hook.agent import supervise
from sshd_hook.userdb import Book
from tests.hosts import wait_for
from tests.interpreters import FOUND
from tests.user_database import (
    FIRST,
    FLOOD,
    GROUP_RECORD,
    MAP,
    NAME,
    NOT_FOUND,
    SECONDS,
    USER_RECORD,
    WORKER,
    by_name,
    question,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


SERVE = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
from sshd_hook import userdb
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[2] + ".new")
listener.listen(512)
os.chmod(sys.argv[2] + ".new", 0o666)
os.rename(sys.argv[2] + ".new", sys.argv[2])
userdb.serve([listener], userdb.Book(sys.argv[3], "/srv/amrgate"), lambda: None)
"""


@pytest.fixture
def map_file(tmp_path: Path) -> Path:
    path = tmp_path / "uids"
    path.write_bytes(accounts.render(MAP))
    return path


@pytest.fixture
def book(map_file: Path) -> Book:
    return Book(str(map_file), "/srv/amrgate")


@pytest.mark.parametrize(
    ("name", "uid", "home"),
    [
        (NAME, FIRST + 1, NAME),
        (f"{NAME}--0", FIRST + 1, NAME),
        (f"{NAME}--9999", FIRST + 1, NAME),
        (WORKER, FIRST + 2, WORKER),
        (f"{WORKER}--7", FIRST + 2, WORKER),
        ("abcdefg123456-main-bvxea6i--other", FIRST, "shared"),
        ("abcdefg123456-other--app", FIRST, "shared"),
        (f"{NAME}--old", FIRST, "shared"),
        ("abcdefg123456", FIRST, "shared"),
    ],
)
def test_every_name_of_the_grammar_is_an_account(
    book: Book, name: str, uid: int, home: str
) -> None:
    user = book.answer(by_name(name))
    group = book.answer(question("GetGroupRecord", groupName=name, service="io.amrgate"))

    assert user == USER_RECORD.format(name=name, uid=uid, home=home).encode()
    assert group == GROUP_RECORD.format(name=name, uid=uid).encode()


@pytest.mark.parametrize(
    ("uid", "name", "home"),
    [(FIRST + 1, NAME, NAME), (FIRST + 2, WORKER, WORKER), (FIRST, "amrgate", "shared")],
)
def test_every_uid_of_ours_has_a_name(book: Book, uid: int, name: str, home: str) -> None:
    user = book.answer(question(uid=uid, service="io.amrgate"))
    group = book.answer(question("GetGroupRecord", gid=uid))

    assert user == USER_RECORD.format(name=name, uid=uid, home=home).encode()
    assert group == GROUP_RECORD.format(name=name, uid=uid).encode()


def test_the_answer_names_the_socket_that_was_asked(book: Book) -> None:
    for_all = book.answer(by_name(NAME))
    assert for_all is not None
    expected = for_all.replace(b'"io.amrgate"', b'"io.amrgate.root"')
    assert book.answer(question(userName=NAME, service="io.amrgate.root")) == expected != for_all


@pytest.mark.parametrize(
    "asked",
    [
        *map(by_name, ["root", "admin", "amrgate", "", "nobody", "shared", "abcdefghijklm"]),
        *map(by_name, [f"{NAME}--00", f"{NAME}--", f"{NAME}\n", f" {NAME}", NAME.upper()]),
        *map(by_name, ["backup-admin1-x--y", f"{NAME}--0--0", "../../etc", "a" * 200, "\0"]),
        *(question(uid=uid) for uid in (0, 1, FIRST + 3, FIRST + 4, FIRST - 1, 2**40, -1)),
        *(question(uid=uid) for uid in (True, 1.5, "400001", None, [FIRST + 1])),
        question(userName=NAME, uid=FIRST + 2),
        question(userName=[NAME]),
        question(userName=NAME, service="io.systemd.DropIn"),
        question(),
        question("GetMemberships", userName=NAME, service="io.amrgate"),
        question("GetGroupRecord", userName=NAME),
        b'{"method":"org.varlink.service.GetInfo"}',
        b'{"method":"io.systemd.UserDatabase.GetUserRecord","parameters":[]}',
        b'{"method":["io.systemd.UserDatabase.GetUserRecord"]}',
        b"{}",
    ],
)
def test_all_else_is_not_found(book: Book, asked: bytes) -> None:
    assert book.answer(asked) == NOT_FOUND


@pytest.mark.parametrize("message", [b"", b"[]", b"{", b"\xff", b"[" * 4000, b'{"a":1}x'])
def test_what_is_not_a_question_ends_the_conversation(book: Book, message: bytes) -> None:
    assert book.answer(message) is None


def test_whoever_wants_no_answer_gets_none(book: Book) -> None:
    assert book.answer(b'{"method":"io.systemd.UserDatabase.GetUserRecord","oneway":true}') == b""


words = st.text("abcdefg123456-main--0\n\0é", max_size=60) | st.sampled_from([NAME, WORKER])
values = words | st.integers() | st.booleans() | st.none() | st.floats() | st.lists(words)


@given(
    st.sampled_from(["userName", "groupName", "uid", "gid", "service"]).flatmap(
        lambda key: st.dictionaries(st.just(key) | words, values, min_size=1)
    ),
    st.sampled_from(["GetUserRecord", "GetGroupRecord", "GetMemberships"]),
)
def test_no_answer_speaks_of_a_uid_that_is_not_ours(
    tmp_path_factory: pytest.TempPathFactory, parameters: dict[str, Any], method: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "uids"
    path.write_bytes(accounts.render(MAP) + b"evil 0\nabcdefg123456-main--root 0\n")

    reply = Book(str(path), "/srv/amrgate").answer(question(method, **parameters))

    assert reply is not None
    assert reply.endswith(b"\0")
    record = json.loads(reply[:-1])["parameters"].get("record", {"gid": FIRST})
    assert record["gid"] in (FIRST, FIRST + 1, FIRST + 2)
    assert record.get("uid", FIRST) in (FIRST, FIRST + 1, FIRST + 2)


def test_a_new_map_is_obeyed_at_once_and_a_bad_one_never(book: Book, map_file: Path) -> None:
    grown = accounts.settle(accounts.reserve(MAP, ["abcdefg123456-main--new"]), [NAME])
    assert book.answer(question(uid=FIRST + 2)) != NOT_FOUND

    atomic.write(str(map_file), accounts.render(grown), atomic.PUBLIC)
    assert book.answer(question(uid=FIRST + 2)) == NOT_FOUND
    for bad in (b"", b"garbage", b"shared 0\n"):
        atomic.write(str(map_file), bad, atomic.PUBLIC)
        assert book.answer(question(uid=FIRST + 1)) != NOT_FOUND
    map_file.unlink()
    assert book.answer(question(uid=FIRST + 1)) != NOT_FOUND


def test_without_a_map_nobody_is_found(tmp_path: Path) -> None:
    assert Book(str(tmp_path / "none"), "/srv/amrgate").answer(by_name(NAME)) == NOT_FOUND


# --- the process ----------------------------------------------------------------------------


@contextlib.contextmanager
def serving(python: str, map_file: Path) -> Iterator[Path]:
    """A user database in a process of its own; the path of its socket, which all may use."""
    folder = Path(tempfile.mkdtemp(prefix="test-userdb-"))
    folder.chmod(0o755)
    path = folder / "socket"
    root = str(Path(__file__).parent.parent)
    process = subprocess.Popen([python, "-IS", "-c", SERVE, root, path, map_file])
    os.setpriority(os.PRIO_PROCESS, process.pid, supervise.PRIORITY)
    wait_for(lambda: path.exists() and process.poll() is None)
    yield path
    assert process.poll() is None, "it ended"
    process.kill()
    process.wait()
    shutil.rmtree(folder)


@pytest.fixture
def server(hook_python: str, map_file: Path) -> Iterator[Path]:
    with serving(hook_python, map_file) as path:
        yield path


def dial(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    connection.settimeout(SECONDS)
    return connection


def ask(path: Path, message: bytes) -> bytes:
    with dial(path) as connection:
        connection.sendall(message + b"\0")
        return connection.recv(4096)


def is_well(path: Path) -> bool:
    """Whether twenty questions, a login's, are answered in good time."""
    begin = time.monotonic()
    expected = USER_RECORD.format(name=NAME, uid=FIRST + 1, home=NAME).encode()
    answers = [ask(path, by_name(NAME)) for _ in range(20)]
    return answers == [expected] * 20 and time.monotonic() - begin < 2


def test_questions_in_pieces_and_several_at_once(server: Path) -> None:
    with dial(server) as connection:
        for byte in by_name("root"):
            connection.send(bytes([byte]))
        connection.sendall(b"\0" + by_name("root") + b"\0" + by_name("ro"))
        answers = b""
        while answers.count(b"\0") < 2:
            answers += connection.recv(4096)

    assert answers == NOT_FOUND * 2


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"x" * 5000, id="too long"),
        pytest.param(b"garbage\0", id="not JSON"),
        pytest.param(b"[" * 4000 + b"\0", id="deep"),
        pytest.param(b"\0", id="empty"),
        pytest.param(b"\xff\xfe\0", id="not UTF-8"),
    ],
)
def test_a_hostile_message_costs_its_sender_the_connection(server: Path, message: bytes) -> None:
    with dial(server) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(message)
        assert connection.recv(4096) == b""

    assert is_well(server)


def test_idle_clients_however_many_hold_nobody_up(server: Path) -> None:
    idle = []
    for number in range(3 * userdb.MAX_CLIENTS // 2):
        idle.append(dial(server))
        with contextlib.suppress(ConnectionError):
            idle[-1].sendall(by_name(NAME)[: number % 50])

    assert is_well(server)
    for connection in idle:
        connection.close()
    assert is_well(server)


def test_a_client_that_never_finishes_a_question_is_dropped(map_file: Path) -> None:
    """Under every Python at once: all of them are waited for."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(FOUND)) as pool:
        servers = [stack.enter_context(serving(python.path, map_file)) for python in FOUND]
        for seconds in pool.map(dawdle, servers):
            assert userdb.MAX_IDLE <= seconds < userdb.MAX_IDLE + 2


def dawdle(server: Path) -> float:
    """Send a blank now and then; how long until the connection was ended, or a while longer."""
    begin = time.monotonic()
    with dial(server) as connection:
        connection.settimeout(0.2)
        while time.monotonic() - begin < userdb.MAX_IDLE + 3:
            try:
                connection.sendall(b" ")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    return time.monotonic() - begin


def test_a_client_that_asks_and_never_reads_is_dropped(server: Path) -> None:
    many = (by_name(NAME) + b"\0") * 100_000
    with dial(server) as connection, pytest.raises(ConnectionError):
        connection.sendall(many)

    assert is_well(server)


@pytest.mark.parametrize("questions", [0, 1, userdb.MAX_AT_ONCE, 200])
def test_a_flood_by_another_user_leaves_room_for_a_login(server: Path, questions: int) -> None:
    asked = by_name("root").decode()
    words = ("/usr/bin/python3", "-IS", "-c", FLOOD, str(server), asked, str(questions))
    flood = subprocess.Popen(words, user=65534, group=65534, extra_groups=[])
    time.sleep(0.3)
    try:
        well = [is_well(server) for _ in range(2)]
        assert flood.poll() is None
    finally:
        flood.kill()
        flood.wait()
    assert all(well)

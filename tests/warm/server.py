"""Import what the commands need, and be asked for them: `python -m tests.warm.server ADDRESS`.

It ends when its address is gone.
"""

from __future__ import annotations

import ast
import gc
import os
import pkgutil
import select
import signal
import socket
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import ca
from ca.app import bare_app

PROGRAMS = {"amrgate": "ca.client.main", "amrgate-ca": "ca.ops.main"}
"""And the modules that have their `main`."""
PATIENCE = 2  # seconds between looks at whether we are wanted

Command = tuple[list[str], str, int, dict[str, str]]
"""The words, the folder, the umask and the environment."""


def import_all() -> None:
    """All of ours, with what it needs, and every route."""
    for module in pkgutil.walk_packages(ca.__path__, "ca."):
        if not module.name.startswith("ca.migrations"):
            import_module(module.name)
    bare_app()
    gc.collect()
    gc.freeze()


def serve(address: Path) -> Command:
    """Answer at `address`. Returns in a child, which is to become the command."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{address}.new")
        listener.listen(16)
        Path(f"{address}.new").rename(address)  # whoever finds it is answered
        listener.settimeout(PATIENCE)
        while address.exists():
            try:
                caller, _ = listener.accept()
            except TimeoutError:
                continue
            with caller:
                if not os.fork():
                    listener.close()
                    return answer(caller)
            os.waitpid(-1, os.WNOHANG)
    sys.exit()


def answer(caller: socket.socket) -> Command:
    """Tell `caller` how its command ended. Returns in the child that is to become the command."""
    head, files, _, _ = socket.recv_fds(caller, 4, 3)
    request = caller.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
    if pid := os.fork():
        wait(caller, pid, files)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    command: Command = ast.literal_eval(request.decode())
    return command


def wait(caller: socket.socket, pid: int, files: list[int]) -> NoReturn:
    """Until `pid` ends; meanwhile it gets the signals that `caller` names, one in each byte."""
    for file in (0, 1, 2, *files):  # else whoever reads what it prints would wait for us
        os.close(file)
    end = os.pidfd_open(pid)
    while end not in select.select([caller.fileno(), end], [], [])[0]:
        for number in caller.recv(64) or [signal.SIGKILL]:  # whoever is gone was killed
            signal.pidfd_send_signal(end, number)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    caller.send(status.to_bytes(4, "big", signed=True), socket.MSG_NOSIGNAL)
    os._exit(0)


def become(command: Command) -> None:
    """What `exec` would have done, and then what the program does."""
    words, folder, umask, environment = command
    os.setsid()
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", 1 if os.isatty(1) else -1, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    program, *_ = sys.argv = words
    try:
        import_module(PROGRAMS[program]).main(prog_name=program)
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        sys.stdout.flush()
        os._exit(end.code)  # else each object is freed: that takes longer than what most do


if __name__ == "__main__":
    import_all()
    become(serve(Path(sys.argv[1])))

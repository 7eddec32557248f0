"""Have a command of the server at an address: `call.py ADDRESS PROGRAM ARGUMENTS…`.

It has our files, and we its status. It is sent the signals that we are; if we are killed, so is it.
Started as often as commands are, it imports little: `socket` alone would double its time.
"""

import _socket as socket
import os
import signal
import sys

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
FILES = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))


def call(address: str, words: list[str]) -> int:
    """The status of the command: negative for the signal that ended it."""
    command = (words, os.getcwd(), os.umask(0), dict(os.environ))  # noqa: PTH109
    request = repr(command).encode()
    server = socket.socket(socket.AF_UNIX)
    server.connect(address)
    length = len(request).to_bytes(4, "big")
    server.sendmsg([length], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, FILES)])
    server.sendall(request)
    for number in FORWARDED:
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    status = server.recv(4, socket.MSG_WAITALL)
    if len(status) != 4:
        sys.exit("The server of commands does not say how this one ended.")
    return int.from_bytes(status, "big", signed=True)


if __name__ == "__main__":
    ended = call(sys.argv[1], sys.argv[2:])
    if ended < 0:
        signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), -ended)
    sys.exit(ended)

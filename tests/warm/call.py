"""Have a command of the server at an address: `call.py ADDRESS PROGRAM ARGUMENTS…`.

It has our files, and we its status. It is sent the signals that we are; if we are killed, so is it.
"""

import json
import os
import signal
import socket
import struct
import sys

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def call(address: str, words: list[str]) -> int:
    """The status of the command: negative for the signal that ended it."""
    command = {
        "words": words,
        "folder": os.getcwd(),  # noqa: PTH109 -- pathlib takes longer than the rest of us
        "umask": os.umask(0),
        "environment": dict(os.environ),
    }
    request = json.dumps(command).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [struct.pack("!I", len(request))], [0, 1, 2])
        server.sendall(request)
        for number in FORWARDED:
            signal.signal(number, lambda number, _: server.send(bytes([number])))
        status: int = struct.unpack("!i", server.recv(4, socket.MSG_WAITALL))[0]
        return status


if __name__ == "__main__":
    ended = call(sys.argv[1], sys.argv[2:])
    if ended < 0:
        signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), -ended)
    sys.exit(ended)

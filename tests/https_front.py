"""The operator's reverse proxy: HTTPS outside, the CA's plain HTTP on loopback inside.

Run in the private machine as `python -m tests.https_front PEM`, with certificate and key in PEM.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import sys
import threading

CA = ("127.0.0.1", 8022)
SIZE = 65536  # bytes: more than a TLS record has, so that none waits unseen behind `select`


def main() -> None:
    """Take connections for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    with socket.create_server(("", 443)) as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, context), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext) -> None:
    with (
        contextlib.suppress(OSError),
        context.wrap_socket(client, server_side=True) as outside,
        socket.create_connection(CA) as inside,
    ):
        _pass_on(outside, inside)


def _pass_on(outside: ssl.SSLSocket, inside: socket.socket) -> None:
    """Pass both directions on until one side ends, in one thread: a TLS object is for one alone."""
    while True:
        readable, _, _ = select.select([outside, inside], [], [])
        for source, target in ((outside, inside), (inside, outside)):
            if source in readable:
                data = source.recv(SIZE)
                if not data:
                    return
                target.sendall(data)


if __name__ == "__main__":
    main()

"""From where connections come, as the kernel has it (proc(5), net/tcp): sshd tells nobody else."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys

REMOTE, STATE, INODE = 2, 3, 9  # columns
LISTENING = "0A"
WORD = 4  # bytes: an address is written as numbers of this size, in the machine's order
SOCKET = "socket:["


class Peers:
    """The TCP connections of one moment, by the processes that hold them."""

    def __init__(self) -> None:
        self._addresses: dict[str, dict[str, str]] = {}

    def of(self, pid: int) -> str | None:
        """The address at the other end of a process's connection; None where it has none.

        That is so for one that talks to a pipe, and for one that is gone.
        """
        with contextlib.suppress(OSError):
            addresses = self._in_namespace_of(pid)
            folder = f"/proc/{pid}/fd"
            # The client's is the first that a process of sshd has; PAM may ask somebody by another.
            for name in sorted(os.listdir(folder), key=int):
                link = os.readlink(f"{folder}/{name}")
                if link.startswith(SOCKET) and link[len(SOCKET) : -1] in addresses:
                    return addresses[link[len(SOCKET) : -1]]
        return None

    def _in_namespace_of(self, pid: int) -> dict[str, str]:
        namespace = os.readlink(f"/proc/{pid}/ns/net")
        if namespace not in self._addresses:
            self._addresses[namespace] = found = {}
            for table in ("tcp", "tcp6"):
                with contextlib.suppress(FileNotFoundError):  # of a kernel without IPv6
                    found.update(_addresses(f"/proc/{pid}/net/{table}"))
        return self._addresses[namespace]


def _addresses(path: str) -> dict[str, str]:
    """The other end's address of each connection, by the inode of its socket."""
    with open(path, encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return {
        row[INODE]: _address(row[REMOTE].partition(":")[0])
        for row in rows
        if row[STATE] != LISTENING
    }


def _address(written: str) -> str:
    data = bytes.fromhex(written)
    if sys.byteorder == "little":
        words = (data[place : place + WORD] for place in range(0, len(data), WORD))
        data = b"".join(word[::-1] for word in words)
    return str(ipaddress.ip_address(data))

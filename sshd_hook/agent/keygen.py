"""What `ssh-keygen` answers: every host with sshd has it, and sshd reads files as it does."""

from __future__ import annotations

import os
import subprocess

from sshd_hook.agent import host

PROGRAM = "/usr/bin/ssh-keygen"
SECONDS = 20  # for one run
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class KeygenError(Exception):
    """ssh-keygen does not take what it was given; the message is its own."""


def verify(data: bytes, signature: str, namespace: str, signers: str) -> None:
    """Check an armored SSHSIG over exactly `data` by a key in the file `signers`.

    Needs no room on a disk: a full one must not stop what would set it right.

    Raises:
        KeygenError: it is not one.
    """
    fd = os.memfd_create("signature")
    try:
        os.write(fd, signature.encode())
        arguments = ("-Y", "verify", "-f", signers, "-I", host.SIGNER, "-n", namespace)
        _run((*arguments, "-s", f"/proc/self/fd/{fd}"), data, fd)
    finally:
        os.close(fd)


def check_revocation_list(path: str) -> None:
    """Check that sshd would read the revocation list at `path`.

    sshd refuses every key when it cannot, and takes an empty file for a list of nothing.

    Raises:
        KeygenError: it would not, or the list revokes the agent's own key, which no user has.
    """
    _run(("-Q", "-f", path, f"{host.KEY}.pub"))


def check_keys(path: str, count: int) -> None:
    """Check that the file at `path` holds `count` public keys, one a line, and sshd reads each.

    sshd takes none after the first line that it cannot read.

    Raises:
        KeygenError: it does not.
    """
    found = len(_run(("-l", "-f", path)).splitlines())
    if found != count:
        raise KeygenError(f"{found} of {count} CA keys can be read")


def check_certificate(path: str) -> None:
    """Check that the file at `path` holds a certificate, and that its signature is good.

    Raises:
        KeygenError: it does not, or the signature is not.
    """
    _run(("-L", "-f", path))


def generate(path: str, comment: str) -> None:
    """Make a new Ed25519 key pair at `path` and `path`.pub.

    Raises:
        KeygenError: it cannot be written.
    """
    _run(("-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path))


def empty_revocation_list() -> bytes:
    """A valid list that revokes nothing, of version 0."""
    path = f"{host.KEY}.krl"
    _run(("-q", "-k", "-z", "0", "-f", path, "/dev/null"))
    try:
        with open(path, "rb") as file:
            return file.read()
    finally:
        os.unlink(path)


def _run(arguments: "tuple[str, ...]", data: bytes = b"", fd: "int | None" = None) -> str:
    done = subprocess.run(
        (PROGRAM, *arguments),
        input=data,
        capture_output=True,
        env=ENVIRONMENT,
        timeout=SECONDS,
        check=False,
        pass_fds=() if fd is None else (fd,),
    )
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace")
        words = "; ".join(line.strip() for line in said.splitlines() if line.strip())
        raise KeygenError(words or f"ssh-keygen ended with {done.returncode}")
    return done.stdout.decode(errors="replace")

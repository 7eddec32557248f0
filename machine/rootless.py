"""A user namespace: in it an ordinary user may mount, and sshd may change users.

Its root is that user. Its other users are of the range of subordinate ids that /etc/subuid and
/etc/subgid give them (subuid(5)), which newuidmap(1) and newgidmap(1) check.
"""

import os
import pwd
import subprocess
from pathlib import Path

from machine.needs import MachineError
from sshd_hook.accounts import CANDIDATES

SYSTEM = 2000  # ids from 1 on: Debian's own accounts and the machine's five people
NOBODY = 65534
SERVICES = CANDIDATES[0]  # where the accounts of services begin
ENOUGH = 10_000  # subordinate ids: useradd gives 65536
Range = tuple[int, int]  # first id, count


class UserNamespace:
    """A user namespace that this process's user owns, until `stop`."""

    def __init__(self) -> None:
        maps = {
            "newuidmap": id_map(os.geteuid(), subordinate(Path("/etc/subuid"))),
            "newgidmap": id_map(os.getegid(), subordinate(Path("/etc/subgid"))),
        }
        self._holder = subprocess.Popen(
            ("unshare", "--user", "cat"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # an interrupt at the terminal is not for it
        )
        if not self._is_there():
            _out, error = self._holder.communicate()
            raise MachineError(
                f"The kernel lets only root make namespaces ({error.decode().strip()})."
                " As root, run:\n"
                "    sysctl user.max_user_namespaces=10000\n"
                "    sysctl kernel.unprivileged_userns_clone=1     # where there is one\n"
                "or run this as root."
            )
        for program, rows in maps.items():
            self._map(program, rows)

    @property
    def option(self) -> str:
        """The option of nsenter(1) that enters it."""
        return f"--user=/proc/{self._holder.pid}/ns/user"

    def stop(self) -> None:
        """Let it go; it ends with its last process."""
        self._holder.communicate()

    def _is_there(self) -> bool:
        """Whether the namespace was made: what runs in it repeats a line."""
        assert self._holder.stdin is not None  # noqa: S101 -- a pipe
        assert self._holder.stdout is not None  # noqa: S101 -- a pipe
        try:
            self._holder.stdin.write(b"\n")
            self._holder.stdin.flush()
        except BrokenPipeError:
            return False
        return self._holder.stdout.readline() == b"\n"

    def _map(self, program: str, rows: list[str]) -> None:
        command = (program, str(self._holder.pid), *rows)
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            self.stop()
            raise MachineError(f"{' '.join(command)}: {ran.stderr.strip()}")


def subordinate(file: Path) -> Range:
    """The range of subordinate ids that /etc/subuid or /etc/subgid gives this process's user.

    Raises:
        MachineError: there is none that is large enough; the message says how to get one.
    """
    user = pwd.getpwuid(os.geteuid()).pw_name
    rows = [line.split(":") for line in file.read_text().splitlines()] if file.exists() else []
    for name, *numbers in rows:
        if name in (user, str(os.geteuid())):
            first, count = map(int, numbers)
            if count >= ENOUGH:
                return first, count
    raise MachineError(
        f"Without root this needs {ENOUGH} subordinate ids, and {file} gives {user} none."
        " As root, run:\n"
        f"    usermod --add-subuids 1000000-1065535 --add-subgids 1000000-1065535 {user}\n"
        "or run this as root."
    )


def id_map(own: int, given: Range) -> list[str]:
    """What newuidmap(1) is told, in threes of an id inside, the id outside, and a count."""
    first, count = given
    rows = (
        (0, own, 1),
        (1, first, SYSTEM),
        (NOBODY, first + SYSTEM, 1),
        (SERVICES, first + SYSTEM + 1, count - SYSTEM - 1),
    )
    return [str(number) for row in rows for number in row]

"""What plain `ssh` waits for before it connects: is the certificate still good?"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, Yardstick, interleaved, spread
from ca.client import files
from ca.client.place import Place
from ca.client.ssh_config import launcher
from tests.certificates import authority, extensions, line, user_certificate

RUNS = 200
BARE = "/usr/bin/python3 -IS -c pass"


def measure() -> list[Figure]:
    """Time the check with a good certificate as ssh runs it: by the shell, `exec` and its path."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "amrgate")
        place.make()
        now = int(time.time())
        good = user_certificate(valid_before=now + 3600, extensions=extensions(auth_time=str(now)))
        files.write(place.certificate, line(authority().certify(good)).encode())
        files.write(place.refresh, launcher(place, "https://ca.example").encode(), 0o700)
        check, bare = interleaved(
            RUNS, lambda: _as_ssh_does(f"'{place.refresh}'"), lambda: _as_ssh_does(BARE)
        )
    return [
        Figure(
            name="refresh_check_ms",
            value=round(statistics.median(check) * 1000, 2),
            unit="ms",
            yardstick=Yardstick(f"{BARE} (ms)", round(statistics.median(bare) * 1000, 2)),
            n=RUNS,
            spread=round(spread(check) * 1000, 2),
        )
    ]


def _as_ssh_does(command: str) -> None:
    # readconf.c, execute_in_shell; a shell that stays is not ours to time.
    shell = os.environ.get("SHELL") or "/bin/sh"
    subprocess.run([shell, "-c", f"exec {command}"], check=True)

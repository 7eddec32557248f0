"""`python -m tests.releases [RELEASE…]`: a table of what worked on which release."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from machine.needs import MachineError
from machine.private import PrivateMachine
from tests.releases import booted, pools, steps, systems
from tests.releases.booted import Booted
from tests.releases.life import Life
from tests.releases.office import Office

SHOWN = ("openssh-server", "python3", "systemd")


def main(releases: list[str]) -> int:
    """Go through the package's life on each release; 0 if all of it went as it must."""
    try:
        booted.check()
        systems.ansible()
        bases = {release: systems.system(release) for release in releases}
        sshds = {release: pools.openssh(release, base) for release, base in bases.items()}
    except MachineError as error:
        sys.exit(f"releases: {error}")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        older, newer = systems.packages(Path(folder))
        for release, base in bases.items():
            with PrivateMachine() as machine, Booted(base, machine) as host:
                life = Life(host, Office(machine), sshds[release], older, newer)
                failed += try_out(release, life)
    return 1 if failed else 0


def try_out(release: str, life: Life) -> int:
    """Do the steps on one release up to one that fails; return how many failed."""
    packages = life.host.check("dpkg-query", "-W", *SHOWN)
    print(f"{release}: {', '.join(packages.split())}")
    return steps.go_through(life.steps(), life.office)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(systems.RELEASES)))

"""Debian's package of the host: what is in it, and what putting it there and taking it away does.

`make releases` does the same, and much more, under a real systemd on each release.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from sshd_hook import accounts, install, paths
from tests.documents import ROOT
from tests.hosts import SERVICE, wait_for
from tests.plants import AGENT_PID, start_agent

if TYPE_CHECKING:
    from pathlib import Path

    from machine.private import Result
    from tests.hosts import Host

MOMENT = "1790000000"
NAME = "amrgate-sshd-hook_0.1.0~git20260921141320_all.deb"
PROGRAMS = {*install.LAUNCHERS, paths.ACCOUNT}
EVERYTHING = (
    "cd / && find etc srv usr/bin usr/lib/amrgate usr/lib/systemd usr/share/man/man8 run/amrgate"
    " var/lib/amrgate var/lib/dpkg/info/amrgate* 2>/dev/null | sort | xargs md5sum 2>&1"
    " | grep -v ' etc/[a-z]*-$'"  # what useradd keeps of the last state
)


def build(folder: Path, mask: int) -> Path:
    words = ("/usr/bin/python3", str(ROOT / "scripts" / "deb.py"), str(folder))
    environment = os.environ | {"SOURCE_DATE_EPOCH": MOMENT}
    ran = subprocess.run(words, check=True, capture_output=True, env=environment, umask=mask)
    return folder / ran.stdout.decode().strip().rpartition("/")[2]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("deb"), 0o022)


def ask(*words: str | Path) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_the_same_commit_makes_the_same_bytes(package: Path, tmp_path: Path) -> None:
    again = build(tmp_path, 0o077)

    assert again.name == package.name == NAME
    assert again.read_bytes() == package.read_bytes()


def test_all_in_it_is_roots_and_in_its_place(package: Path) -> None:
    rows = [line.split() for line in ask("dpkg-deb", "--contents", package).splitlines()]
    found = {row[5].removeprefix("."): (row[0], row[1]) for row in rows}

    for path, (mode, owner) in found.items():
        executable = path.endswith("/") or path in PROGRAMS
        expected = "rwxrwxrwx" if mode[0] == "l" else "rwxr-xr-x" if executable else "rw-r--r--"
        assert (mode[1:], owner) == (expected, "root/root"), path
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "sshd_hook").rglob("*.py")}
    assert {f"{paths.LIBRARY}/{module}" for module in modules} <= found.keys()
    assert found.keys() >= {*PROGRAMS, install.PACKAGED, "/usr/bin/sshd-hook"}
    assert "/usr/lib/systemd/system/amrgate-agent.service" in found
    assert not [path for path in found if path.endswith(".pyc") or "at-" in path]
    assert not [path for path in found if path.startswith(("/etc", "/var", "/srv", "/run"))]


def test_it_needs_python_sshd_and_the_name_service_alone(package: Path) -> None:
    fields = ask("dpkg-deb", "--field", package, "Package", "Architecture", "Depends")
    depends = "python3 (>= 3.9), openssh-server, libnss-systemd, passwd, init-system-helpers"
    assert fields.startswith(f"Package: {install.PACKAGE}\nArchitecture: all\nDepends: {depends}")


class Packaged:
    """A host on which dpkg works."""

    def __init__(self, host: Host, package: Path) -> None:
        self.host = host
        self._inside = f"/root/{package.name}"
        host.machine.path(self._inside).write_bytes(package.read_bytes())

    def dpkg(self, action: str, what: str = install.PACKAGE) -> Result:
        """Without the triggers of others, such as the index of manual pages."""
        ran = self.host.machine.run("dpkg", "--no-triggers", action, what)
        self.host.machine.run("dpkg", "--triggers-only", install.PACKAGE)
        return ran

    def install(self) -> None:
        ran = self.dpkg("--install", self._inside)
        assert ran.status == 0, ran.err

    def enroll(self) -> Result:
        host = self.host
        return host.machine.run("sshd-hook", *host.enrolling())

    def everything(self) -> list[str]:
        return self.host.machine.run("sh", "-c", EVERYTHING).out.splitlines()


@pytest.fixture
def packaged(fresh_host: Host, package: Path) -> Packaged:
    fresh_host.machine.check("rm", "/usr/local/bin/sshd-hook")  # the checkout's
    return Packaged(fresh_host, package)


def test_its_whole_life_leaves_no_trace_but_the_uids_until_it_is_purged(packaged: Packaged) -> None:
    machine = packaged.host.machine
    before = packaged.everything()

    packaged.install()

    changed = [row for row in packaged.everything() if row not in before]
    assert not [row for row in changed if " etc/" in row], "installed, it changes nothing"
    library = machine.path(f"{paths.LIBRARY}/sshd_hook")
    assert {path.stem.split(".")[0] for path in library.glob("__pycache__/*.pyc")} == {
        path.stem for path in library.glob("*.py")
    }

    from_checkout = packaged.host.enroll()
    assert from_checkout.status == 1
    assert "use its /usr/bin/sshd-hook" in from_checkout.err
    assert packaged.enroll().status == 0
    uids = accounts.parse(packaged.host.read(paths.UIDS)).live

    packaged.install()  # an upgrade
    assert "current    yes" in machine.check("sshd-hook", "status")
    assert machine.path(paths.ACCOUNT).exists()

    removed = packaged.dpkg("--remove")
    assert removed.status == 0, removed.err
    assert "unenrolling it first" in removed.out
    assert not machine.path(paths.PROGRAMS).exists()
    assert not machine.path(paths.SSHD_DROP_IN).exists()
    assert paths.ACCOUNT not in machine.path("/etc/pam.d/sshd").read_text()

    packaged.install()
    packaged.host.publish()
    assert packaged.enroll().status == 0
    assert accounts.parse(packaged.host.read(paths.UIDS)).live == uids

    machine.check("touch", f"{paths.HOMES}/{SERVICE}/file")
    purged = packaged.dpkg("--purge")
    assert purged.status == 0, purged.err
    assert "/srv/amrgate is kept" in purged.out
    machine.check("rm", "-r", paths.HOMES)
    assert packaged.everything() == before


def test_the_operators_own_unit_outlives_upgrades(packaged: Packaged) -> None:
    unit = packaged.host.machine.path("/etc/systemd/system/amrgate-agent.service")
    unit.write_text("# An enrolment from the checkout left it.\n")
    packaged.install()
    assert not unit.exists()

    unit.write_text("# The operator has edited it.\n")
    packaged.install()
    assert unit.exists()


def test_what_somebody_removed_by_hand_is_not_missed(packaged: Packaged) -> None:
    packaged.install()
    packaged.host.machine.check("rm", "-r", paths.PROGRAMS)

    removed = packaged.dpkg("--remove")

    assert removed.status == 0, removed.err


def test_it_stays_while_something_of_it_runs_that_nobody_could_stop(packaged: Packaged) -> None:
    machine = packaged.host.machine
    packaged.install()
    assert packaged.enroll().status == 0
    start_agent(packaged.host)
    agent = machine.path(AGENT_PID).read_text()

    refused = packaged.dpkg("--remove")

    assert refused.status != 0
    assert "amrgate-sshd-hook stays" in refused.err
    assert machine.path(paths.ACCOUNT).exists()
    assert paths.ACCOUNT in machine.path("/etc/pam.d/sshd").read_text()
    machine.check("kill", agent)

    # sshd and PAM are not left asking for it either where somebody tidied up too well.
    wait_for(lambda: not machine.path(f"/proc/{agent}").exists())
    machine.check("rm", "-r", paths.STATE, paths.HOMES)
    removed = packaged.dpkg("--remove")
    assert removed.status == 0, removed.err
    assert not machine.path(paths.SSHD_DROP_IN).exists()
    assert paths.ACCOUNT not in machine.path("/etc/pam.d/sshd").read_text()

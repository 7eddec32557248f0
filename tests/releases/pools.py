"""The versions of openssh that a release's pools hold, by the apt sources of this machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from machine.needs import MachineError
from tests.releases.systems import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAMES = ("openssh-server", "openssh-client", "openssh-sftp-server")


class Pool(NamedTuple):
    """Folders of .deb files: the oldest version there is, and the newest, which may be the same."""

    older: Path
    newer: Path


def openssh(release: str, base: Path) -> Pool:
    """What there is for the system in `base`, fetched once.

    Raises:
        MachineError: apt cannot give it.
    """
    folder = KEPT / f"{release}-openssh"
    pool = Pool(folder / "older", folder / "newer")
    if not (folder / "made").exists():
        print(f"Fetching versions of openssh for {release} to {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        pool.older.mkdir(parents=True)
        pool.newer.mkdir()
        apt = apt_of(release, base, folder / "apt")
        versions = apt.versions()
        for version, place in ((versions[-1], pool.older), (versions[0], pool.newer)):
            apt.download([f"{name}={version}" for name in NAMES], place)
        (folder / "made").touch()
    return pool


def apt_of(release: str, base: Path, state: Path) -> Apt:
    """Apt for the system in `base`, which keeps its lists in `state`, and has read them."""
    apt = Apt(state, base)
    apt.read_from(_sources(release))
    return apt


def _sources(release: str) -> str:
    """This machine's apt sources, with another release's name for that of its own."""
    here = platform.freedesktop_os_release()["VERSION_CODENAME"]
    form = ("--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    lines = _run(("apt-get", "indextargets", *form)).splitlines()
    suites = (here, f"{here}-updates", f"{here}-security")
    ours = [line.split() for line in lines if line.split()[2] in suites]
    return "".join(
        f"deb {uri} {suite.replace(here, release)} {component}\n"
        for _, uri, suite, component in ours
    )


class Apt:
    """An apt of its own sources and lists, for the packages that a system in a folder has."""

    def __init__(self, state: Path, base: Path) -> None:
        self._list = state / "sources.list"
        for name in ("lists", "archives"):
            (state / name / "partial").mkdir(parents=True)
        settings = (
            f"Dir::State::Lists={state}/lists",
            f"Dir::Cache={state}",
            f"Dir::State::Status={base}/var/lib/dpkg/status",
            f"Dir::Etc::SourceList={self._list}",
            "Dir::Etc::SourceParts=/dev/null",
            "APT::Sandbox::User=root",
        )
        self._options = [word for setting in settings for word in ("-o", setting)]

    def read_from(self, sources: str) -> None:
        """Read the lists of these sources, as many of them as there are."""
        self._list.write_text(sources)
        words = ("apt-get", *self._options, "-qq", "update")
        subprocess.run(words, check=False, capture_output=True)  # a release may lack a suite

    def versions(self) -> list[str]:
        """The versions of openssh, the newest first.

        Raises:
            MachineError: there is none.
        """
        rows = _run(("apt-cache", *self._options, "madison", NAMES[0])).splitlines()
        if not rows:
            raise MachineError(f"apt's sources have no {NAMES[0]}")
        return [row.split("|")[1].strip() for row in rows]

    def download(self, wanted: Iterable[str], folder: Path) -> None:
        """Put packages, `name` or `name=version`, in a folder.

        Raises:
            MachineError: apt cannot.
        """
        _run(("apt-get", *self._options, "-qq", "download", *wanted), folder)


def _run(words: tuple[str, ...], folder: Path | None = None) -> str:
    environment = os.environ | {"LC_ALL": "C"}
    ran = subprocess.run(
        words, check=False, capture_output=True, text=True, cwd=folder, env=environment
    )
    if ran.returncode:
        raise MachineError(f"{words[0]}: {ran.stderr}")
    return ran.stdout

"""Build Debian's package of what runs on SSH hosts: the same bytes for the same commit.

`scripts/deb.py [--version V] [FOLDER]` writes FOLDER/amrgate-sshd-hook_VERSION_all.deb, by default
into build/. It needs dpkg-deb and nothing of the network; `make deb` runs it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.dont_write_bytecode = True

from sshd_hook import install  # noqa: E402 -- found by the line above

SOURCE = ROOT / "debian"
UNITS = ROOT / "sshd_hook" / "files"
SCRIPTS = ("postinst", "prerm", "postrm")
UNIT_FOLDER = "usr/lib/systemd/system"
COMMAND = "usr/bin/sshd-hook"
DOC = f"usr/share/doc/{install.PACKAGE}"
CHANGELOG = """\
{package} ({version}) unstable; urgency=medium

  * Built from commit {commit}.

 -- The amrgate authors <amrgate@localhost.localdomain>  {date}
"""


def main() -> None:
    """Build the package and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build")
    parser.add_argument("--version", help="instead of the one of the commit")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    print(build(asked.folder, asked.version or version()))


def build(folder: Path, version: str) -> Path:
    """Build the package of `version` into `folder`; return its path."""
    target = folder / f"{install.PACKAGE}_{version}_all.deb"
    with tempfile.TemporaryDirectory() as stage:
        root = Path(stage) / "root"
        root.mkdir()
        root.chmod(0o755)
        lay_out(root, version)
        control(root, version)
        command = ("dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(target))
        environment = {
            **os.environ,
            "SOURCE_DATE_EPOCH": str(moment()),
            "DPKG_DEB_THREADS_MAX": "1",  # how many there are changes what xz writes
        }
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return target


def version() -> str:
    """The project's version, or, between two releases, that it is before the next and of when."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        number: str = tomllib.load(file)["project"]["version"]
    if git("tag", "--points-at", "HEAD", f"v{number}"):
        return number
    return f"{number}~git{time.strftime('%Y%m%d%H%M%S', time.gmtime(moment()))}"


def moment() -> int:
    """When what is built was made, in seconds since the epoch: SOURCE_DATE_EPOCH, or the commit."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct"))


def git(*arguments: str) -> str:
    """What git says of this checkout; nothing where it is none."""
    # Whoever builds it need not be who owns the checkout.
    words = ("git", "-c", f"safe.directory={ROOT}", *arguments)
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def lay_out(root: Path, version: str) -> None:
    """Put what the package installs below `root`."""
    install.lay_out(root)
    for unit in sorted(UNITS.glob("*.s[eo]*")):  # .service and .socket
        write(root / UNIT_FOLDER / unit.name, unit.read_bytes())
    link = root / COMMAND
    folder(link.parent)
    link.symlink_to(f"../lib/amrgate/{link.name}")
    changelog = CHANGELOG.format(
        package=install.PACKAGE,
        version=version,
        commit=git("log", "-1", "--format=%h") or "unknown",
        date=time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(moment())),
    )
    write(root / DOC / "changelog.gz", packed(changelog.encode()))
    write(root / DOC / "copyright", (SOURCE / "copyright").read_bytes())
    overrides = (SOURCE / "lintian-overrides").read_bytes()
    write(root / "usr/share/lintian/overrides" / install.PACKAGE, overrides)
    page = packed((SOURCE / "sshd-hook.8").read_bytes())
    write(root / "usr/share/man/man8/sshd-hook.8.gz", page)


def control(root: Path, version: str) -> None:
    """Write what dpkg reads: who this is, what to run, and what each file is."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    sums = [f"{md5(path)}  {path.relative_to(root)}\n" for path in files]
    size = sum(-(-path.stat().st_size // 1024) for path in files)
    text = (SOURCE / "control").read_text()
    place = root / "DEBIAN"
    write(
        place / "control", text.replace("@VERSION@", version).replace("@SIZE@", str(size)).encode()
    )
    write(place / "md5sums", "".join(sums).encode())
    write(place / "triggers", (SOURCE / "triggers").read_bytes())
    for name in SCRIPTS:
        write(place / name, (SOURCE / name).read_bytes(), 0o755)


def md5(path: Path) -> str:
    """What dpkg --verify compares a file with."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def packed(data: bytes) -> bytes:
    """`data` as gzip -9n would pack it."""
    return gzip.compress(data, 9, mtime=0)


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file that all can read, whatever this process's umask."""
    folder(path.parent)
    path.write_bytes(data)
    path.chmod(mode)


def folder(path: Path) -> None:
    """Make a folder, and those above it, for all to read."""
    if not path.exists():
        folder(path.parent)
        path.mkdir()
        path.chmod(0o755)


if __name__ == "__main__":
    if not shutil.which("dpkg-deb"):
        sys.exit("dpkg-deb is missing: build the package on Debian")
    main()

"""Every Python that the hook may meet on a host, as far as this machine has them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

OLDEST = (3, 9)  # Debian 11's
FOLDERS = (
    "/usr/bin",
    "/usr/local/bin",
    *(str(folder) for folder in Path("~/.pyenv/versions").expanduser().glob("*/bin")),
)
ASK = "import sys; print('.'.join(map(str, sys.version_info[:2])), sys.executable)"


@dataclass(frozen=True)
class Python:
    """An interpreter: its version such as "3.9", and its real path, never a shim."""

    version: str
    path: str


def find() -> list[Python]:
    """One interpreter for each version, oldest first; the distribution's before others."""
    found: dict[tuple[int, ...], Python] = {}
    for folder in FOLDERS:
        for path in Path(folder).glob("python3.[0-9]*"):
            number = path.name.removeprefix("python3.")
            version = (3, int(number)) if number.isdecimal() else (0, 0)
            if version >= OLDEST and version not in found:
                found[version] = _ask(path)
    return [found[version] for version in sorted(found)]


def _ask(path: Path) -> Python:
    answer = subprocess.run(
        [path, "-IS", "-c", ASK], capture_output=True, text=True, check=True, timeout=20
    )
    version, executable = answer.stdout.split(maxsplit=1)
    return Python(version, executable.strip())


FOUND = find()


@pytest.fixture(params=FOUND, ids=lambda python: python.version)
def hook_python(request: pytest.FixtureRequest) -> str:
    """The path of an interpreter: the test runs once under each that was found."""
    python: Python = request.param
    return python.path


def pytest_configure() -> None:
    """Refuse to run without the interpreter that CI demands of the hook's tests."""
    wanted = os.environ.get("REQUIRE_PYTHON", "")
    found = [python.version for python in FOUND]
    if wanted and wanted not in found:
        raise pytest.UsageError(
            f"Python {wanted} is demanded, and only {', '.join(found)} are here."
        )


def pytest_report_header() -> str:
    found = ", ".join(f"{python.version} ({python.path})" for python in FOUND)
    return f"the hook's tests run under Python {found}"

"""What `make wheel` puts beside the wheel: the pins that were tested, without the tests' own."""

from __future__ import annotations

import re
import tomllib

from tests.documents import ROOT

PIN = re.compile(r"^([a-z0-9.-]+)==\S+ .*(?:\n    --hash=\S+(?: \\)?)+", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    """The entry of each package, with its hashes."""
    return {found[1]: found[0] for found in PIN.finditer((ROOT / name).read_text())}


def test_the_ca_is_installed_with_what_it_was_tested_with() -> None:
    tested, shipped = pins("requirements.lock"), pins("requirements-ca.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[\[>=]", line)[0] for line in project["dependencies"]}

    def hashes(entry: str) -> set[str]:
        return set(re.findall(r"==\S+|sha256:\w+", entry))

    assert needed <= shipped.keys()
    assert not {"pytest", "ruff", "selenium"} & shipped.keys()
    for package, entry in shipped.items():
        assert hashes(entry) == hashes(tested[package]), package

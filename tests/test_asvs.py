"""docs/asvs.md names tests: they are there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
NAMED = re.compile(r"`(test_\w+)(?:::(test_\w+))?`")


def test_the_tests_that_the_table_names_are_there() -> None:
    sources = {file.stem: file.read_text() for file in HERE.glob("test_*.py")}
    text = (HERE.parent / "docs" / "asvs.md").read_text()
    missing = []
    for first, function in NAMED.findall(text):
        if function:
            found = f"def {function}(" in sources.get(first, "")
        else:  # a file, or another test of the file that was named before
            found = first in sources or any(f"def {first}(" in one for one in sources.values())
        if not found:
            missing.append(f"{first}::{function}")
    assert missing == []
    assert len(NAMED.findall(text)) > 30

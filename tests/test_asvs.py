"""docs/asvs.md has every item of levels 1 and 2, and the tests that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
ROW = re.compile(r"^\| ([\d.]+) \| (\d) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
# How many such items each section of release 5.0.0 has: they are its first ones.
SECTIONS = """
6.1: 3, 6.2: 12, 6.3: 4, 6.4: 4, 6.5: 5, 6.6: 3, 6.8: 4
7.1: 3, 7.2: 4, 7.3: 2, 7.4: 5, 7.5: 2, 7.6: 2
9.1: 3, 9.2: 4
10.1: 2, 10.2: 2, 10.3: 4, 10.4: 11, 10.5: 5, 10.6: 2, 10.7: 3
"""
LEVEL_1 = """
6.1.1 6.2.1 6.2.2 6.2.3 6.2.4 6.2.5 6.2.6 6.2.7 6.2.8 6.3.1 6.3.2 6.4.1 6.4.2
7.2.1 7.2.2 7.2.3 7.2.4 7.4.1 7.4.2 9.1.1 9.1.2 9.1.3 9.2.1
10.4.1 10.4.2 10.4.3 10.4.4 10.4.5
"""
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


def test_each_item_has_its_row_and_its_level() -> None:
    rows = ROW.findall((HERE.parent / "docs" / "asvs.md").read_text())
    sections = re.findall(r"([\d.]+): (\d+)", SECTIONS)
    expected = [f"{section}.{n}" for section, most in sections for n in range(1, int(most) + 1)]
    assert [number for number, _level in rows] == expected
    assert [number for number, level in rows if level == "1"] == LEVEL_1.split()

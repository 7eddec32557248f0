"""`python -m tests.mutate_programs`, after `mutmut run`: the mutants that mutmut could not test.

Some functions run only as a program, in a private machine, from the files that were installed: the
process that mutmut breaks never calls them. Here each of their mutants is written into a copy of
the tree, and the tests of the programs are run there under one Python.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Queue

TESTS = ["tests/test_hook_programs.py", "tests/test_hook_files.py", "-k", "3.11 or alarm"]
COPIED = ["sshd_hook", "ca", "demo", "tests", "machine", "examples", "pyproject.toml"]
WORKERS = 2
SECONDS = 120  # for one mutant: more is an endless loop, and counts as found
OUTCOMES = {0: "survived", 1: "killed"}  # by pytest's exit status; no other is an answer
VENV = Path(sys.prefix, "bin")


def mutmut(*arguments: str) -> str:
    ran = subprocess.run([VENV / "mutmut", *arguments], capture_output=True, text=True, check=True)
    return ran.stdout


def copy_tree() -> Path:
    tree = Path(tempfile.mkdtemp(prefix="amrgate-mutants-"))
    for name in COPIED:
        copy = shutil.copytree if Path(name).is_dir() else shutil.copy
        copy(name, tree / name)
    return tree


def changed(text: str, diff: str) -> str:
    """`text` with the one change of `diff`, whose line numbers are those within a function."""
    lines = diff.splitlines()[3:]
    old, new = (
        "".join(f"{line[1:]}\n" for line in lines if line[:1] in (" ", kind)) for kind in "-+"
    )
    if text.count(old) != 1:
        raise ValueError(f"not in one place: {diff}")
    return text.replace(old, new)


def test(mutant: str, trees: Queue[Path]) -> tuple[str, str]:
    """The outcome, and what was changed."""
    shown = mutmut("show", mutant)
    diff = shown[shown.index("---") :]
    target = diff.split()[1]
    tree = trees.get()
    try:
        (tree / target).write_text(changed(Path(target).read_text(), diff))
        with suppress(subprocess.TimeoutExpired):
            ran = subprocess.run(
                [VENV / "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS],
                cwd=tree,
                capture_output=True,
                check=False,
                timeout=SECONDS,
            )
            return OUTCOMES[ran.returncode], diff
        return "killed", diff
    finally:
        trees.put(tree)


def main() -> int:
    listed = (line.split(": ") for line in mutmut("results", "--all", "true").splitlines())
    mutants = [name.strip() for name, state in listed if state == "no tests"]
    trees: Queue[Path] = Queue()
    for _ in range(WORKERS):
        trees.put(copy_tree())
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        for mutant, (outcome, diff) in zip(
            mutants, pool.map(lambda name: test(name, trees), mutants), strict=True
        ):
            counts[outcome] += 1
            print(f"\r{counts.total()} of {len(mutants)}", end="", file=sys.stderr, flush=True)
            if outcome == "survived":
                print(
                    mutant,
                    *(line for line in diff.splitlines()[2:] if line.startswith(("+", "-"))),
                    sep="\n",
                )
    print(dict(counts))
    while not trees.empty():
        shutil.rmtree(trees.get())
    return 0


if __name__ == "__main__":
    sys.exit(main())

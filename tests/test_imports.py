"""Who may import whom, and what sshd waits for.

The map is the architecture: a module that is not in it fails, and so does an import that it does
not allow, also one inside a function.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent

# The nearest line above a module holds: "ca.store" speaks for "ca.store.tables". Each may import
# itself and what is below itself. `sshd_hook` may be imported by everybody.
MAY_IMPORT: dict[str, set[str]] = {
    "sshd_hook": set(),
    "ca.errors": set(),
    "ca.settings": {"ca.errors"},
    "ca.logging": set(),
    "ca.words": {"ca.errors"},
    "ca.keys": {"ca.errors"},
    # What a login proved is a value without behaviour of its own: sessions are stored with it.
    "ca.store": {"ca.errors", "ca.migrations", "ca.identity.proofs"},
    "ca.mail": set(),
    "ca.smtp": {"ca.errors", "ca.settings", "ca.mail"},
    "ca.migrations": {"ca.errors", "ca.store"},
    "ca.audit": {"ca.errors", "ca.store"},
    "ca.identity": {
        "ca.errors",
        "ca.settings",
        "ca.store",
        "ca.audit",
        "ca.keys",
        "ca.mail",
        "ca.words",
    },
    "ca.oauth": {"ca.errors", "ca.settings", "ca.store", "ca.audit", "ca.keys", "ca.identity"},
    "ca.directory": {"ca.errors", "ca.store", "ca.audit", "ca.identity", "ca.words"},
    "ca.issuance": {"ca.errors", "ca.store", "ca.audit", "ca.keys", "ca.settings"},
    "ca.issuance.bounds": {"ca.errors", "ca.store", "ca.identity.attempts"},
    "ca.hosts": {
        "ca.errors",
        "ca.settings",
        "ca.store",
        "ca.audit",
        "ca.keys",
        "ca.directory",
        "ca.issuance",
    },
    # The edges: what speaks HTTP or to a person may use everything inside.
    "ca.api": {"ca"},
    "ca.oauth.routes": {"ca"},
    "ca.console": {"ca"},
    "ca.http": {"ca"},
    "ca.services": {"ca"},
    "ca.app": {"ca"},
    "ca.ops": {"ca"},
    # What engineers install uses nothing of the service but the way it words things.
    "ca.client": {"ca.errors", "ca.words"},
}
# Nothing inside may know the edges, whatever the map says.
EDGES = ("ca.api", "ca.oauth.routes", "ca.console", "ca.app", "ca.ops", "ca.client")

# Modules that sshd runs or waits for at each login, and all that importing them may load on top
# of a bare interpreter. Others cost more than the interpreter itself: `json` 5 ms, `re` 4, `enum` 3,
# `typing` 7, `dataclasses` 10, `socket` 5, `hashlib` 2, `pathlib` 7.
LOGIN_PATH = ("principals", "refuse")
QUICK = {"_struct", "binascii", "errno", "fcntl", "posix", "resource", "struct", "syslog", "time"}
QUICK |= {"_signal", "signal_free"}

LOADED = """
import sys
before = set(sys.modules)
sys.path.insert(0, {root!r})
import sshd_hook.{module}
print(*(set(sys.modules) - before))
"""


def modules() -> list[str]:
    """Every module of the two packages, dotted."""
    files = [*ROOT.glob("ca/**/*.py"), *ROOT.glob("sshd_hook/**/*.py")]
    return sorted(_dotted(file) for file in files)


def _dotted(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(module: str) -> Iterator[str]:
    """What `module` imports, wherever in it the import stands, but for type checkers alone."""
    pending: list[ast.AST] = [ast.parse(_file(module).read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                ours = _is_module(str(node.module))
                yield str(node.module) if ours and not _is_module(name) else name
        else:
            pending.extend(ast.iter_child_nodes(node))


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _rule(module: str) -> str | None:
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((name for name in names if name in MAY_IMPORT), None)


def _is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("module", [name for name in modules() if name != "ca"])
def test_each_module_imports_only_what_the_map_allows(module: str) -> None:
    rule = _rule(module)
    assert rule, f"{module} is not in the map: say what it may import"
    allowed = {rule, "sshd_hook", *MAY_IMPORT[rule]}
    ours = [name for name in imports(module) if name.split(".")[0] in ("ca", "sshd_hook")]
    wrong = [name for name in ours if not any(_is_within(name, package) for package in allowed)]
    if rule not in EDGES:
        wrong += [name for name in ours if any(_is_within(name, edge) for edge in EDGES)]
    if rule != "ca.client":  # what engineers install is for nobody else
        wrong += [name for name in ours if _is_within(name, "ca.client")]
    assert not wrong


@pytest.mark.parametrize("module", [name for name in modules() if _is_within(name, "sshd_hook")])
def test_the_hook_imports_only_the_standard_library(module: str) -> None:
    names = {name.split(".")[0] for name in imports(module)}
    assert names <= {"sshd_hook"} | sys.stdlib_module_names


@pytest.mark.parametrize("module", [name for name in modules() if _is_within(name, "ca")])
def test_only_the_store_speaks_sql(module: str) -> None:
    if _rule(module) in ("ca.store", "ca.migrations"):
        return
    names = {name for name in imports(module) if _is_within(name, "sqlalchemy")}
    plumbing = {"sqlalchemy.Connection", "sqlalchemy.Engine"}
    assert not {name for name in names - plumbing if not _is_within(name, "sqlalchemy.exc")}


@pytest.mark.parametrize("module", LOGIN_PATH)
def test_what_sshd_waits_for_loads_nothing_slow(hook_python: str, module: str) -> None:
    answer = subprocess.run(
        [hook_python, "-IS", "-c", LOADED.format(root=str(ROOT), module=module)],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    loaded = {name for name in answer.stdout.split() if not name.startswith("sshd_hook")}
    assert loaded <= QUICK

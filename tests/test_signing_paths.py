"""Every way to a CA's signature passes the one function that says who may have it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CA = Path(__file__).parent.parent / "ca"
SIGN = CA / "issuance" / "sign.py"


def functions(file: Path) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    return {
        node.name: node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def calls(node: ast.AST) -> list[str]:
    """The names that are called in `node`, without what is before a dot."""
    found = []
    for child in ast.walk(node):
        if isinstance(child, ast.Call):
            called = child.func
            found.append(called.attr if isinstance(called, ast.Attribute) else ast.unparse(called))
    return found


def mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(child, ast.Attribute) and child.attr == name for child in ast.walk(node))


@pytest.mark.attack(67)
def test_exactly_one_function_authorizes_and_all_that_sign_ask_it() -> None:
    made = [
        file for file in CA.rglob("*.py") if "Authorization" in calls(ast.parse(file.read_text()))
    ]
    assert made == [SIGN]
    known = functions(SIGN)
    assert [name for name, node in known.items() if "Authorization" in calls(node)] == ["authorize"]
    # An intent is what `_sign` takes, `_prepare` alone makes one, and only from an authorization.
    assert [name for name, node in known.items() if "Intent" in calls(node)] == ["_prepare"]
    assert "authorization: Authorization" in ast.unparse(known["_prepare"].args)
    for name, node in known.items():
        if mentions(node, "_sign") or mentions(node, "_prepare"):
            assert calls(node).count("authorize") == 1, name


@pytest.mark.attack(67)
def test_nobody_else_has_a_ca_key_sign() -> None:
    """Outside, the CA keys are only asked for their public halves."""
    paths = []
    for file in CA.rglob("*.py"):
        if file == SIGN:
            continue
        tree = ast.parse(file.read_text())
        public = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr == "public_key"
        }
        paths += [
            f"{file}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr in {"user_ca", "host_ca"}
            and id(node) not in public
        ]
    assert paths == []
    signing = [name for name, node in functions(SIGN).items() if "sign" in calls(node)]
    assert signing == ["_sign"]

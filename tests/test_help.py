"""What `--help` says: an example for each command, and lists that an ordinary terminal holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from ca.client.main import main as amrgate
from ca.ops.main import main as amrgate_ca

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 80


def every_help(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=name, terminal_width=WIDTH)
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            each = command.get_command(context, word)
            assert each is not None
            yield from every_help(each, f"{name} {word}")


SHOWN = dict([*every_help(amrgate, "amrgate"), *every_help(amrgate_ca, "amrgate-ca")])


@pytest.mark.parametrize("name", SHOWN)
def test_it_has_an_example_and_nothing_is_cut_off(name: str) -> None:
    _usage, *lines = SHOWN[name].splitlines()

    assert any(f"{name.split(maxsplit=1)[0]} " in line for line in lines), "no example"
    assert [line for line in lines if line.endswith("...")] == []

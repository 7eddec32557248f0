"""The operator's commands on a CA without keys, in this process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from ca import settings
from ca.keys import Seal
from ca.ops.main import main
from ca.settings import Settings
from ca.store.engine import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result
    from sqlalchemy import Engine


EXAMPLE = Path(__file__).parent.parent / "examples" / "acme.toml"
NAME = "ssh.acme.example"
PASSWORD = "a password of many words"
SEAL = Seal(bytes(32))


@dataclass
class Ca:
    """A CA without keys: these commands need none."""

    data: Path
    engine: Engine

    def run(self, *words: str | Path, typed: str = "") -> Result:
        command, *rest = map(str, words)
        split = 1 if command in ("host", "user") else 0
        arguments = [command, *rest[:split], "--data", str(self.data), *rest[split:]]
        return CliRunner().invoke(main, arguments, input=typed)

    def check(self, *words: str | Path, typed: str = "") -> str:
        result = self.run(*words, typed=typed)
        assert result.exit_code == 0, result.output
        return result.stdout

    def error(self, *words: str | Path, typed: str = "") -> str:
        result = self.run(*words, typed=typed)
        assert result.exit_code == 1, result.output
        assert "Traceback" not in result.output
        assert isinstance(result.exception, SystemExit)
        return result.stderr


@pytest.fixture
def ca(database_url: str, tmp_path: Path) -> Iterator[Ca]:
    issuer = "https://ca.acme.example"
    chosen = Settings(data=tmp_path, issuer=issuer, listen="127.0.0.1:1", database=database_url)
    (tmp_path / settings.SETTINGS_FILE).write_text(settings.render(chosen))
    engine = open_engine(database_url)
    yield Ca(tmp_path, engine)
    engine.dispose()


def now() -> int:
    return int(time.time())

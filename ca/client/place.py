"""Where the command keeps what it knows: `~/.config/amrgate`, or below $XDG_CONFIG_HOME."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ca.client import files

API_TOKEN = "AMRGATE_API_TOKEN"  # noqa: S105 an environment variable's name


@dataclass(frozen=True)
class Place:
    """The folder, and the names in it."""

    root: Path

    @property
    def config(self) -> Path:
        """JSON: the URL of the certificate authority."""
        return self.root / "config.json"

    @property
    def session(self) -> Path:
        """JSON: the tokens of the login."""
        return self.root / "session.json"

    @property
    def lock(self) -> Path:
        """Held while tokens or the certificate are renewed."""
        return self.root / "lock"

    @property
    def ssh(self) -> Path:
        """The folder of what `ssh` reads."""
        return self.root / "ssh"

    @property
    def key(self) -> Path:
        """The private key, made anew at each login."""
        return self.ssh / "id_ed25519"

    @property
    def certificate(self) -> Path:
        """The certificate for it."""
        return self.ssh / "id_ed25519-cert.pub"

    @property
    def known_hosts(self) -> Path:
        """Which key certifies our hosts."""
        return self.ssh / "known_hosts"

    @property
    def refresh(self) -> Path:
        """What `ssh` runs to see whether the certificate is still good."""
        return self.ssh / "refresh"

    @property
    def ssh_config(self) -> Path:
        """The configuration that the person's own includes."""
        return self.ssh / "config"

    @property
    def ssh_aliases(self) -> Path:
        """The same for aliases of our hosts, which the person's own includes at its end."""
        return self.ssh / "aliases"

    def make(self) -> None:
        """Make the folders, for us alone."""
        files.make_folder(self.root)
        files.make_folder(self.ssh)


def find() -> Place:
    """The place of whoever runs this. An API token in the environment has one of its own."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # A relative one is to be ignored (XDG Base Directory Specification).
    folder = Path(base) if base.startswith("/") else Path.home() / ".config"
    token = api_token()
    if not token:
        return Place(folder / "amrgate")
    return Place(folder / f"amrgate-token-{hashlib.sha256(token.encode()).hexdigest()[:16]}")


def api_token() -> str:
    """The API token with which a program runs this; empty if there is none."""
    return os.environ.get(API_TOKEN, "").strip()


def read_json(path: Path) -> dict[str, Any]:
    """The object in our file; empty if there is none, or it is damaged: one logs in again."""
    data = files.read(path)
    try:
        value = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

"""What this host knows of itself and of its CA: written by `enroll`, root's alone."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field

from sshd_hook import atomic, paths

RECORD = os.path.join(paths.AGENT, "host.json")
FLOOR = os.path.join(paths.AGENT, "floor")
CA_FILE = os.path.join(paths.AGENT, "ca.pem")
KEY = os.path.join(paths.AGENT, "key")
BUNDLE_SIGNERS = os.path.join(paths.AGENT, "bundle-signers")
RECOVERY_SIGNERS = os.path.join(paths.AGENT, "recovery-signers")

SIGNER = "ca"  # the name under which ssh-keygen finds the keys in the files of signers


class HostError(Exception):
    """The host is not enrolled, or what it knows of itself is damaged."""


@dataclass(frozen=True)
class Host:
    """The host's id at the CA, its secret token, its name, and the CA's address."""

    id: str
    token: str = field(repr=False)
    name: str
    ca: str


@dataclass(frozen=True)
class Floor:
    """What the host has once verified: nothing older is ever taken again."""

    version: int = 0
    krl_version: int = 0

    def raised(self, version: int, krl_version: int) -> Floor:
        """The floor after something as new as this was verified."""
        return Floor(max(self.version, version), max(self.krl_version, krl_version))


def load() -> Host:
    """Read who this host is.

    Raises:
        HostError: it was never enrolled.
    """
    try:
        with open(RECORD, "rb") as file:
            return Host(**json.load(file))
    except FileNotFoundError:
        raise HostError("this host is not enrolled: run `sshd-hook enroll` first") from None
    except (OSError, ValueError, TypeError) as error:
        raise HostError(f"{RECORD} cannot be read ({error}): enroll this host again") from error


def render(host: Host) -> bytes:
    """The record as `load` reads it."""
    fields = {"id": host.id, "token": host.token, "name": host.name, "ca": host.ca}
    return json.dumps(fields, indent=2).encode() + b"\n"


def load_floor() -> Floor:
    """Read the floor.

    Without the file it is nothing: then what is installed is all that the agent has to go by, and
    it never takes an older version than that either.

    Raises:
        HostError: it is damaged.
    """
    try:
        with open(FLOOR, "rb") as file:
            version, krl_version = map(int, file.read(128).split())
    except FileNotFoundError:
        return Floor()
    except (OSError, ValueError) as error:
        raise HostError(f"{FLOOR} cannot be read ({error}); remove it to go on") from error
    return Floor(version, krl_version)


def save_floor(floor: Floor) -> None:
    """Keep the floor, durably.

    Raises:
        OSError: it cannot be kept, so nothing that rests on it may be installed.
    """
    text = f"{floor.version} {floor.krl_version}\n"
    atomic.write(FLOOR, text.encode(), atomic.PRIVATE)


def signers(key: str, namespaces: str) -> bytes:
    """A file of signers (ssh-keygen(1), ALLOWED SIGNERS) with one key, good for `namespaces`."""
    return f'{SIGNER} namespaces="{namespaces}" {key}\n'.encode()

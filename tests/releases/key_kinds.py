"""Certificates for every kind of key that the CA certifies, at the release's own sshd."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from machine.private import PYTHON
from tests.hosts import wait_for
from tests.releases.office import REQUIREMENT
from tests.releases.traffic import SOON

if TYPE_CHECKING:
    from tests.releases.life import Life
    from tests.releases.office import Office

AGENT = "/run/sk-agent"  # security keys that a program makes, where no token is plugged in
FILES = (("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "3072"), ("rsa", "4096"))
SECURITY_KEYS = ("ed25519", "ecdsa")
DENIED = "Error: Access denied\n"


class Key(NamedTuple):
    """What `ssh -i` is given, the public half, and where the private one is if not in a file."""

    identity: str
    public: str
    options: tuple[str, ...] = ()


def log_in_with_each(life: Life) -> None:
    """Be let in with each, and be held to what is required with each."""
    office = life.office
    keys = _keys(office)
    office.certify("alice", [key.public for key in keys], "pwd")
    for key in keys:
        ran = office.come("alice", key.identity, *key.options)
        assert ran.out == "in\n", (key, ran)
    office.require(REQUIREMENT)
    wait_for(lambda: not life.lets_in(), SOON)
    for key in keys:
        ran = office.come("alice", key.identity, *key.options)
        assert ran.out == "", (key, ran)
        assert DENIED in ran.err, (key, ran)
    office.require("")
    wait_for(life.lets_in, SOON)


def _keys(office: Office) -> list[Key]:
    keys = []
    for kind, bits in FILES:
        path = office.make_key("alice", kind, bits)
        keys.append(Key(path, f"{path}.pub"))
    office.machine.spawn(*PYTHON, "-m", "tests.sk_agent", AGENT, log="/var/log/sk-agent")
    wait_for(lambda: office.machine.path(AGENT).exists(), SOON)
    for kind in SECURITY_KEYS:
        path = f"{AGENT}.{kind}.pub"
        keys.append(Key(path, path, ("-o", f"IdentityAgent={AGENT}")))
    return keys

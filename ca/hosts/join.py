"""How a machine becomes a host: an operator makes a token for it, and it spends the token."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca import audit
from ca.errors import AlreadyUsed, Conflict, NotFound
from ca.store import directory, hosts, revocations
from ca.store.engine import writing
from ca.store.hosts import Host
from ca.store.revocations import Cause

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

JOIN_PREFIX = "amrgate-join-"  # so that scanners for leaked secrets find them
HOST_PREFIX = "amrgate-host-"
SECRET = 32  # bytes
LIFETIME = 3600  # seconds that a join token is good for


@dataclass(frozen=True)
class Joined:
    """A host that has just joined, and its token, which is not stored."""

    host: Host
    token: str


def make_token(engine: Engine, name: str, aliases: tuple[str, ...], actor: str, now: int) -> str:
    """A join token for the machine `name`, good once and for an hour; an older one is void.

    Its host certificates will hold `name` and `aliases`, and nothing else.

    Raises:
        Conflict: another host has one of these names.
    """
    token = JOIN_PREFIX + secrets.token_urlsafe(SECRET)
    names = (name, *aliases)
    with writing(engine) as connection:
        directory.lock(connection)
        _refuse_taken(connection, name, names)
        host = hosts.find_host(connection, name)
        if host is None:
            host = Host(str(uuid.uuid4()), name, names)
            hosts.add_host(connection, host.id, name)
            audit.append(connection, "host:add", actor, name, {})
            directory.bump(connection, now)
        hosts.add_join_token(connection, hash_of(token), host.id, names, now + LIFETIME)
        audit.append(connection, "host:token", actor, host.id, {"names": list(names)})
    return token


def place(engine: Engine, name: str, services: tuple[str, ...], actor: str, now: int) -> None:
    """Say that these services are on the host `name` from now on.

    Raises:
        NotFound: there is no such host or service.
    """
    with writing(engine) as connection:
        directory.lock(connection)
        if hosts.find_host(connection, name) is None:
            raise NotFound(f"There is no host {name}.")
        missing = sorted(set(services) - set(hosts.place(connection, name, services)))
        if missing:
            raise NotFound(f"There is no service {', '.join(missing)}.")
        for service in services:
            audit.append(connection, "service:change", actor, service, {"host": name})
        directory.bump(connection, now)


def join(engine: Engine, token: str, name: str, public_key: bytes, now: int) -> Joined:
    """Spend a join token and make the machine that has it the host `name`.

    A host that joins again keeps its id; the machine that was it before is one no more.

    Raises:
        AlreadyUsed: the token was spent, is too old, was made for another name or never was.
        Conflict: one of its names became another host's since it was made.
    """
    host_token = HOST_PREFIX + secrets.token_urlsafe(SECRET)
    with writing(engine) as connection:
        directory.lock(connection)
        spent = hosts.spend_join_token(connection, hash_of(token), name, now)
        if spent is None:
            raise AlreadyUsed(
                "This join token was used, is too old, or was made for another host."
                " Make a new one: amrgate-ca host token."
            )
        host_id, names = spent
        _refuse_taken(connection, name, names)
        joined = Host(host_id, name, names, joined_at=now, seen_at=now)
        hosts.join(connection, joined, hash_of(host_token), public_key)
        audit.append(connection, "host:join", host_id, host_id, {"names": list(names)})
    return Joined(joined, host_token)


def remove(engine: Engine, name: str, actor: str, now: int) -> int:
    """Take a host out of the directory; return how many certificates it had.

    Its token is void, its certificates are revoked, and its services are nowhere.

    Raises:
        NotFound: there is none of this name.
    """
    with writing(engine) as connection:
        directory.lock(connection)
        host = hosts.find_host(connection, name)
        if host is None:
            raise NotFound(f"There is no host {name}.")
        cause = Cause(now, actor, "host:remove")
        revoked = revocations.revoke_user(connection, host.id, cause)
        hosts.remove_host(connection, host.id)
        audit.append_revoking(connection, cause, name, revoked, id=host.id)
        directory.bump(connection, now)
    return len(revoked)


def hash_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _refuse_taken(connection: Connection, name: str, names: tuple[str, ...]) -> None:
    # With another's name in its certificate, a host could pass for that other one.
    others = (host for host in hosts.all_hosts(connection) if host.name != name)
    taken = {other for host in others for other in host.names} & set(names)
    if taken:
        raise Conflict(f"Another host has the name {', '.join(sorted(taken))} already.")

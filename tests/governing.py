"""Two organizations, people who do whatever they may to each other, and what must always hold.

One step is what the API or the operator would do, in a transaction of its own: it goes through, or
is refused and changes nothing. The model test draws steps with Hypothesis, the drill at random.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import select

from ca.directory import enforcement, members, people, read
from ca.directory.access import Caller
from ca.errors import CAError
from ca.identity import factors
from ca.identity.factors import Acting
from ca.identity.proofs import Proof
from ca.store import directory, tables
from ca.store import people as store
from ca.store.engine import reading, writing
from ca.store.sessions import GrantSession
from tests.directory import apply_text
from tests.web import password_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from ca.directory.read import OrganizationView

NAMES = ("ann", "ben", "cat", "dan")
ORGANIZATIONS = ("acme", "sister")
ROLES = ("owner", "admin", "viewer")
DIRECTORY = "\n".join(
    (
        *(
            f'[users.{name}]\nname = "{name.title()}"\nemail = "{name}@acme.example"'
            for name in NAMES
        ),
        '[organizations.acme]\nmembers = { ann = "owner", ben = "admin", cat = "viewer" }',
        '[organizations.sister]\nmembers = { cat = "admin", dan = "viewer" }',
    )
)


class Governing:
    """The directory under test. Each step takes who does it, to whom, where, and as what."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.done = 0
        """How many steps went through."""
        self.begin_anew()
        self.steps: tuple[Callable[[str, str, str, str], None], ...] = (
            self.change,
            self.remove,
            self.join,
            self.disable,
            self.enable,
            self.add_factor,
            self.remove_factor,
            self.require_mfa,
            self.require_nothing,
        )

    def begin_anew(self) -> None:
        """Everybody is in, and has a password; nothing is required."""
        apply_text(self.engine, DIRECTORY)
        with writing(self.engine) as connection:
            for name in NAMES:
                user = self._user(connection, name)
                store.put_password(connection, user.id, password_hash(), 1)

    def take(self, step: int, who: str, whom: str, where: str, role: str) -> None:
        """One step, whether it goes through or is refused."""
        with suppress(CAError):
            self.steps[step](who, whom, where, role)
            self.done += 1

    def is_governed(self) -> bool:
        """Whether each organization has an owner or admin who can log in as it requires.

        Asked of the tables themselves, not of what is under test.
        """
        users, roles = tables.users.c, tables.members.c
        with reading(self.engine) as connection:
            asking = set(connection.execute(select(tables.requirements.c.subject)).scalars())
            with_app = set(connection.execute(select(tables.totp_credentials.c.user_id)).scalars())
            every = set(connection.execute(select(tables.organizations.c.id)).scalars())
            deciding = connection.execute(
                select(roles.organization_id, roles.user_id)
                .join(tables.users, users.id == roles.user_id)
                .where(roles.role.in_(("owner", "admin")), users.disabled_at.is_(None))
            )
            able = {one for one, user in deciding if one not in asking or user in with_app}
        return able == every

    def change(self, who: str, whom: str, where: str, role: str) -> None:
        with writing(self.engine) as connection:
            view, caller = self._seen(connection, who, where)
            members.change(connection, view, caller, self._user(connection, whom).id, role)

    def remove(self, who: str, whom: str, where: str, _role: str) -> None:
        with writing(self.engine) as connection:
            view, caller = self._seen(connection, who, where)
            members.remove(connection, view, caller, self._user(connection, whom).id)

    def join(self, _who: str, whom: str, where: str, role: str) -> None:
        with writing(self.engine) as connection:
            directory.lock(connection)
            user = self._user(connection, whom)
            view = read.organization_for(connection, where, user.id)
            if view is not None and not view.role:
                members.join(connection, where, user, role, user.id)

    def disable(self, _who: str, whom: str, _where: str, _role: str) -> None:
        people.disable(self.engine, whom, "operator test", int(time.time()))

    def enable(self, _who: str, whom: str, _where: str, _role: str) -> None:
        people.enable(self.engine, whom, "operator test", int(time.time()))

    def add_factor(self, _who: str, whom: str, _where: str, _role: str) -> None:
        with writing(self.engine) as connection:
            directory.lock(connection)
            user = self._user(connection, whom)
            if store.find_totp(connection, user.id) is None:
                store.add_totp(connection, user.id, b"", 0, 1)

    def remove_factor(self, _who: str, whom: str, _where: str, _role: str) -> None:
        with reading(self.engine) as connection:
            user = self._user(connection, whom)
        factors.remove_totp(self.engine, Acting(user.id, "", _proofs()), int(time.time()))

    def require_mfa(self, who: str, _whom: str, where: str, _role: str) -> None:
        # The session has `mfa`, whether or not its factor is still there.
        with writing(self.engine) as connection:
            view, caller = self._seen(connection, who, where)
            after = enforcement.enabled(view.stored)
            enforcement.change(connection, view, caller, after, int(time.time()))

    def require_nothing(self, who: str, _whom: str, where: str, _role: str) -> None:
        with writing(self.engine) as connection:
            view, caller = self._seen(connection, who, where)
            after = enforcement.disabled(view.stored)
            enforcement.change(connection, view, caller, after, int(time.time()))

    def _seen(
        self, connection: Connection, who: str, where: str
    ) -> tuple[OrganizationView, Caller]:
        directory.lock(connection)
        user = self._user(connection, who)
        session = GrantSession("", "", user, "", "", "", _proofs(), "", 0)
        view = read.organization_for(connection, where, user.id)
        assert view
        return view, Caller(user, session, "192.0.2.7")

    def _user(self, connection: Connection, name: str) -> store.User:
        found = store.find_user_by_name(connection, name)
        assert found
        return found


def _proofs() -> tuple[Proof, ...]:
    now = int(time.time())
    return Proof("pwd", now), Proof("otp", now)

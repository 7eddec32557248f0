"""Service users: an organization's own, for its programs. They have API tokens and nothing else.

They are no members, show no factor, and reach the projects in which they have a role. Exempt ones
do so also where a login must show more: that is an owner's to say, and told to all admins.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ca import audit
from ca.directory.access import require_fresh_mfa
from ca.directory.apply import execute, grammar
from ca.directory.apply.diff import Change
from ca.errors import Conflict, InvalidRequest, NotFound
from ca.identity import notices
from ca.store import directory, people, revocations, service_users
from ca.store.engine import reading
from ca.store.items import Item, Items
from ca.store.revocations import Cause
from sshd_hook.policy import ADMIN, OWNER

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from ca.directory.access import Caller
    from ca.directory.read import OrganizationView
    from ca.settings import Settings
    from ca.store.items import Attributes
    from ca.store.service_users import ServiceUser


def find(connection: Connection, view: OrganizationView, user_id: str) -> ServiceUser:
    """The organization's service user with this id.

    Raises:
        NotFound: it has none such.
    """
    found = service_users.find(connection, user_id)
    if found is None or found.organization_id != view.organization.id:
        raise NotFound("There is no such service user.")
    return found


def add(
    connection: Connection, view: OrganizationView, caller: Caller, username: str, name: str
) -> ServiceUser:
    """A new service user, not exempt. The caller holds the directory's lock.

    Raises:
        InsufficientAuthentication, Denied: the caller may not, or logged in too long ago.
        InvalidRequest: nobody may be called this.
        Conflict: somebody is.
    """
    require_fresh_mfa(view, caller, ADMIN, int(time.time()))
    if not grammar.USERNAME.fits(username):
        raise InvalidRequest(f"username: {username[:64]!a} is not {grammar.USERNAME.words}.")
    if people.find_user_by_name(connection, username) is not None:
        raise Conflict(f"There is a user {username}: take another name.")
    after = _attributes(view, name, exempt=False)
    _carry_out(connection, caller, Change(Item("service_user", (username,)), None, after))
    every = service_users.of_organization(connection, view.organization.id)
    return next(one for one in every if one.user.username == username)


def change(  # noqa: PLR0913 what is changed by whom, and into what
    connection: Connection,
    view: OrganizationView,
    caller: Caller,
    before: ServiceUser,
    *,
    name: str | None = None,
    exempt: bool | None = None,
) -> list[Change]:
    """Call a service user otherwise, or exempt it or not; what is None stays. For `announce`.

    The caller holds the directory's lock.

    Raises:
        InsufficientAuthentication, Denied: the caller may not, or logged in too long ago. It
            takes an owner to exempt one.
        InvalidRequest: nobody may be called this.
    """
    needed = ADMIN if exempt in (None, before.exempt) else OWNER
    require_fresh_mfa(view, caller, needed, int(time.time()))
    was = _attributes(view, before.user.name, exempt=before.exempt)
    after = _attributes(
        view,
        before.user.name if name is None else name,
        exempt=before.exempt if exempt is None else exempt,
    )
    if after == was:
        return []
    changed = Change(Item("service_user", (before.user.username,)), was, after)
    _carry_out(connection, caller, changed)
    return [changed]


def remove(
    connection: Connection, view: OrganizationView, caller: Caller, gone: ServiceUser
) -> None:
    """Remove a service user: its tokens, sessions and certificates end. The caller holds the lock.

    Raises:
        InsufficientAuthentication, Denied: the caller may not, or logged in too long ago.
    """
    now = int(time.time())
    require_fresh_mfa(view, caller, ADMIN, now)
    cause = Cause(now, caller.user.id, "user:revoke")
    revoked = revocations.revoke_user(connection, gone.user.id, cause)
    audit.append_revoking(connection, cause, gone.user.id, revoked)
    was = _attributes(view, gone.user.name, exempt=gone.exempt)
    _carry_out(connection, caller, Change(Item("service_user", (gone.user.username,)), was, None))


def announce(engine: Engine, settings: Settings, actor: str, changes: list[Change]) -> None:
    """Tell an organization's admins by e-mail which of these `changes` exempt a service user.

    `actor` is whoever made them, as people know them.
    """
    for one in changes:
        was, now_is = ((side or {}).get("exempt", False) for side in (one.before, one.after))
        if one.item.kind == "service_user" and one.after is not None and was != now_is:
            name = str(one.after["organization_id"])
            with reading(engine) as connection:
                organization = directory.find_organization(connection, name)
                admins = directory.admins(connection, organization.id) if organization else []
            event = "service_user:exempt" if now_is else "service_user:bound"
            (username,) = one.item.key
            notices.tell_admins(settings, admins, event, who=actor, user=username, of=name)


def _attributes(view: OrganizationView, name: str, *, exempt: bool) -> Attributes:
    if not grammar.DISPLAY_NAME.fits(name):
        raise InvalidRequest(f"name: {name[:64]!a} is not {grammar.DISPLAY_NAME.words}.")
    return {"organization_id": view.organization.name, "name": name, "exempt": exempt}


def _carry_out(connection: Connection, caller: Caller, change: Change) -> None:
    execute.carry_out(connection, Items(connection), [change], caller.user.id)

"""Inviting people into an organization by e-mail, which is the only way to become a user here
but for the operator's `apply`. The caller holds `directory.lock`.

An invitation is for whoever reads the mailbox that it was sent to, and for an account with that
address alone. It is worth what its inviter may give when it is accepted: if they are gone by then,
or have become less, it is worth nothing. Nobody who invites is told whether the address has an
account.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca import audit
from ca.directory import members, read, user_access
from ca.directory.apply import execute
from ca.directory.apply.diff import Change
from ca.directory.apply.grammar import DISPLAY_NAME, EMAIL, USERNAME
from ca.errors import (
    AlreadyUsed,
    Conflict,
    Denied,
    InvalidRequest,
    NotFound,
    TooManyAttempts,
)
from ca.identity import passwords
from ca.identity.links import EVERY
from ca.identity.sessions import hash_of, new_secret
from ca.store import invitations, people, projects
from ca.store import members as member_store
from ca.store.invitations import Invitation
from ca.store.items import Item, Items

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from ca.directory.access import Caller
    from ca.directory.read import OrganizationView
    from ca.store.directory import Organization
    from ca.store.people import User
    from ca.store.projects import Project

LIFETIME = 7 * 86400  # seconds
MAX_OPEN = 200  # of an organization


class InvitationOver(AlreadyUsed):
    """Which of the reasons it is, is not told."""

    def __init__(self) -> None:
        super().__init__(
            "This invitation was used, was withdrawn, or is older than seven days. Ask whoever"
            " invited you for another one."
        )


@dataclass(frozen=True)
class Offer:
    """An invitation that counts, and what its page tells of it."""

    invitation: Invitation
    organization: Organization
    inviter: User
    account: User | None
    """Whoever has its address already."""

    projects: tuple[Project, ...]
    """Those in which it gives a role, by title."""


@dataclass(frozen=True)
class NewAccount:
    """What somebody who signs up wants to be called, and their password's hash."""

    username: str
    name: str
    argon2: str


def invite(  # noqa: PLR0913, PLR0917 whom, as what, with what, by whom
    connection: Connection,
    view: OrganizationView,
    caller: Caller,
    email: str,
    role: str,
    permissions: Mapping[str, Iterable[str]],
    now: int,
) -> tuple[Invitation, str]:
    """A new invitation and the secret in its link; an older one to the same address is over.

    `permissions` are roles in the organization's projects, as clients write them, by project.

    Raises:
        InvalidRequest: the address, a role or a project is none.
        Denied: the role is above the caller's.
        Conflict: they are a member, or too many invitations are open.
        TooManyAttempts: they were invited in the last five minutes.
    """
    members.check_may_give(view, role)
    address = email.lower()
    if not EMAIL.fits(address):
        raise InvalidRequest(f"email: {email[:80]!a} is not {EMAIL.words}.")
    organization_id = view.organization.id
    if any(
        one.user.email == address for one in member_store.members_of(connection, organization_id)
    ):
        raise Conflict(f"{address} is a member already.")
    grants = tuple(
        (project_id, scope, what)
        for project_id, words in permissions.items()
        for scope, what in _grants(connection, organization_id, project_id, words).items()
    )
    rest = invitations.newest_to(connection, organization_id, address) + EVERY - now
    if rest > 0:  # nobody fills a mailbox
        raise TooManyAttempts(f"{address} was invited a moment ago. Try again later.", rest)
    there = invitations.open_in(connection, organization_id, now)
    for one in there:
        if one.email == address:
            invitations.end(connection, one.id, now)
    if len(there) >= MAX_OPEN:
        raise Conflict(f"{MAX_OPEN} invitations are open: withdraw some first.")
    made = Invitation(
        str(uuid.uuid4()),
        organization_id,
        address,
        role,
        grants,
        caller.user.id,
        now,
        now + LIFETIME,
    )
    token = new_secret()
    invitations.add(connection, made, hash_of(token))
    _record(connection, "invitation:add", caller.user.id, view.organization, made)
    return made, token


def withdraw(
    connection: Connection, view: OrganizationView, caller: Caller, invitation_id: str, now: int
) -> None:
    """Make an invitation worth nothing.

    Raises:
        NotFound: the organization has none such that is open.
    """
    for one in invitations.open_in(connection, view.organization.id, now):
        if one.id == invitation_id and invitations.end(connection, one.id, now):
            _record(connection, "invitation:withdraw", caller.user.id, view.organization, one)
            return
    raise NotFound("There is no such invitation.")


def look(connection: Connection, token: str, now: int) -> Offer:
    """What the link with `token` offers, without accepting it.

    Raises:
        InvitationOver: nothing, or no more.
    """
    found = invitations.find(connection, hash_of(token), now)
    if found is None:
        raise InvitationOver
    inviter = people.find_user(connection, found.invited_by)
    view = read.organization_for(connection, found.organization_id, found.invited_by)
    if inviter is None or inviter.disabled or view is None:
        raise InvitationOver
    try:
        members.check_may_give(view, found.role)
    except Denied:
        raise InvitationOver from None
    account = people.find_user_by_email(connection, found.email)
    given = projects.find_projects(connection, {grant[0] for grant in found.grants})
    by_title = sorted(given, key=lambda one: (one.title, one.id))
    return Offer(found, view.organization, inviter, account, tuple(by_title))


def accept(connection: Connection, token: str, user: User, now: int) -> Offer:
    """Make `user`, who is logged in, a member as the link offers.

    Raises:
        InvitationOver: it offers nothing, or no more.
        Denied: it is for another address than theirs, or they are no person.
        Conflict: they are a member.
    """
    offer = look(connection, token, now)
    if not user.logs_in:
        raise Denied("A service user belongs to one organization, and accepts no invitation.")
    if user.email.lower() != offer.invitation.email:
        raise Denied(
            f"This invitation was sent to {offer.invitation.email}, and your account has another"
            " address. Ask for one to yours, or log in with the account that has this address."
        )
    _take_up(connection, offer, user, now)
    return offer


def sign_up(connection: Connection, token: str, account: NewAccount, now: int) -> User:
    """Make a new user of whoever has the link, and a member as it offers.

    Raises:
        InvitationOver: it offers nothing, or no more.
        InvalidRequest: nobody may be called this.
        Conflict: somebody is, or has the address already.
    """
    offer = look(connection, token, now)
    if offer.account is not None:
        raise Conflict("You have an account with this address: log in with it to accept.")
    check_names(account.username, account.name)
    if people.find_user_by_name(connection, account.username) is not None:
        raise Conflict(f"There is a user {account.username}: choose another name.")
    email = offer.invitation.email
    made = Change(Item("user", (account.username,)), None, {"name": account.name, "email": email})
    execute.carry_out(connection, Items(connection), [made], "invitation")
    user = people.find_user_by_name(connection, account.username)
    if user is None:
        raise InvitationOver
    people.put_password(connection, user.id, account.argon2, now)
    _take_up(connection, offer, user, now)
    return user


def check_names(username: str, name: str) -> None:
    """Raise InvalidRequest if nobody may be called this: to log in, and on terminals."""
    if not USERNAME.fits(username):
        raise InvalidRequest(f"{username[:64]!a} is not {USERNAME.words}.")
    if not DISPLAY_NAME.fits(name):
        raise InvalidRequest(f"{name[:64]!a} is not {DISPLAY_NAME.words}.")


def hash_password(password: str, *names: str) -> str:
    """The hash of a password that somebody with these names chose.

    It takes a while, by design: outside of any transaction.

    Raises:
        InvalidRequest: it must not be one.
    """
    passwords.check_new(password, names)
    return passwords.make_hash(password)


def _take_up(connection: Connection, offer: Offer, user: User, now: int) -> None:
    invitation = offer.invitation
    if member_store.find_member(connection, invitation.organization_id, user.id) is not None:
        raise Conflict(f"You are a member of {offer.organization.label} already.")
    if not invitations.end(connection, invitation.id, now):
        raise InvitationOver
    there = [
        grant
        for grant in invitation.grants
        if _is_project_of(connection, invitation.organization_id, grant[0])
    ]
    held = {
        grant[:2] for grant in member_store.grants_in(connection, offer.organization.id, user.id)
    }
    grants = tuple(grant for grant in there if grant[:2] not in held)
    members.join(connection, offer.organization.name, user, invitation.role, user.id, grants)
    invitations.note_verified(connection, user.id, now)
    _record(connection, "invitation:accept", user.id, offer.organization, invitation)


def _grants(
    connection: Connection, organization_id: str, project_id: str, words: Iterable[str]
) -> dict[str, str]:
    if not _is_project_of(connection, organization_id, project_id):
        raise InvalidRequest(f"projects: {project_id[:64]!a} is none of this organization's.")
    return user_access.grants_of(words)


def _is_project_of(connection: Connection, organization_id: str, project_id: str) -> bool:
    found = projects.find_project(connection, project_id)
    return found is not None and found[1].id == organization_id


def _record(
    connection: Connection, event: str, actor: str, where: Organization, what: Invitation
) -> None:
    detail = {"id": what.id, "email": what.email, "role": what.role, "by": what.invited_by}
    audit.append(connection, event, actor, f"organization {where.name}", detail)

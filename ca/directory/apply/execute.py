"""Making the directory what a document says."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError

from ca import audit
from ca.directory.apply.plan import Plan, plan
from ca.directory.governed import governed
from ca.errors import Conflict
from ca.identity.sso.retirement import end_all_resting_on
from ca.store import applied, directory, hosts, people, revocations, sso
from ca.store.engine import writing
from ca.store.items import KINDS, Items
from ca.store.revocations import Cause

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from ca.directory.apply.diff import Change
    from ca.directory.apply.document import Document
    from ca.store.items import Attributes, Item

EVENTS = {"+": "add", "-": "remove", "~": "change"}
MAX_SUBJECT = 128  # characters of an audit record's subject


def apply(engine: Engine, document: Document, actor: str, agreed: Plan | None = None) -> Plan:
    """Make the directory what `document` says, in one transaction; return what was done.

    Raises:
        InvalidFile: the database refuses something in it; nothing was changed.
        Conflict: likewise, but what it is cannot be told from the file; or there is something else to
            do by now than what somebody `agreed` to.
    """
    with writing(engine) as connection:
        done = planned(connection, document)
        if agreed is not None and agreed.changes != done.changes:
            raise Conflict(
                "Somebody changed the directory meanwhile, so that there is something else to do now."
                " Nothing was applied: run it again, and look at what it says."
            )
        make_so(connection, document, done, actor)
    return done


def planned(connection: Connection, document: Document) -> Plan:
    """What there is to do, by the only one who changes the directory until this transaction ends.

    Raises:
        InvalidFile: the database refuses something in it.
    """
    directory.lock(connection)
    return plan(connection, document, Items(connection))


def make_so(connection: Connection, document: Document, what: Plan, actor: str) -> None:
    """Do what was planned.

    Raises:
        Conflict: the database refuses it; the change must be undone, as by the exception.
    """
    try:
        _revoke(connection, what.changes, actor, int(time.time()))
        carry_out(connection, Items(connection), what.changes, actor)
        applied.put(connection, document.spoken_of)
    except IntegrityError as error:
        raise Conflict(
            "Two things would have the same name or address for a moment, such as when people"
            " swap their e-mail addresses: apply it in two steps. Nothing was changed."
        ) from error


def carry_out(connection: Connection, items: Items, changes: list[Change], actor: str) -> None:
    """Make changes, record each, and let hosts hear of them. The caller holds `directory.lock`.

    Raises:
        Conflict: nobody would be left who can decide in an organization whose members change.
    """
    if not changes:
        return
    with governed(connection, _governed_in(connection, changes)):
        _change(connection, items, changes)
        _end_providers(connection, changes, actor)
    record(connection, changes, actor)
    directory.bump(connection, int(time.time()))


def _governed_in(connection: Connection, changes: list[Change]) -> set[str]:
    """The ids of the organizations whose members change, or providers go."""
    names = {change.item.key[0] for change in changes if change.item.kind == "member"}
    names |= {str(before["organization_id"]) for _slug, before in _providers_gone(changes)}
    found = (directory.find_organization(connection, name) for name in names)
    return {one.id for one in found if one is not None}


def _providers_gone(changes: list[Change]) -> list[tuple[str, Attributes]]:
    """Slug and attributes of each provider that goes."""
    return [
        (change.item.key[0], change.before)
        for change in changes
        if change.item.kind == "provider" and change.before and change.after is None
    ]


def _end_providers(connection: Connection, changes: list[Change], actor: str) -> None:
    for slug, _before in _providers_gone(changes):
        end_all_resting_on(connection, slug, actor, int(time.time()))


def _change(connection: Connection, items: Items, changes: list[Change]) -> None:
    # First what goes, each before what it hangs on, so that names and addresses are free; but
    # organizations last, since their projects may move to another one.
    gone = [change.item for change in reversed(changes) if change.after is None]
    for item in gone:
        if item.kind != "organization":
            items.remove(item)
    for kind in KINDS:
        there = [one for one in changes if one.item.kind == kind and one.after is not None]
        for change in there:
            if change.before is not None and kind == "client":
                _change_client(connection, change)
            elif change.before is not None:
                items.change(change.item, change.after or {})
        items.add({one.item: one.after or {} for one in there if one.before is None})
    for item in gone:
        if item.kind == "organization":
            items.remove(item)


def _change_client(connection: Connection, change: Change) -> None:
    before = sso.find_provider(connection, change.item.key[0])
    if before is not None:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in (change.after or {}).items()
        }
        sso.change_client(connection, before, replace(before, **values))


def _revoke(connection: Connection, changes: list[Change], actor: str, now: int) -> None:
    """Revoke the certificates of users and hosts that go: with users go their sessions."""
    for change in changes:
        subject = _subject(connection, change.item) if change.after is None else None
        if subject is not None:
            event = "host:revoke" if change.item.kind == "host" else "user:revoke"
            cause = Cause(now, actor, event)
            revoked = revocations.revoke_user(connection, subject, cause)
            audit.append_revoking(connection, cause, subject, revoked)


def _subject(connection: Connection, item: Item) -> str | None:
    """The id under which certificates were issued, if the item is one that gets any."""
    found: people.User | hosts.Host | None = None
    if item.kind in ("user", "service_user"):
        found = people.find_user_by_name(connection, item.key[0])
    elif item.kind == "host":
        found = hosts.find_host(connection, item.key[0])
    return None if found is None else found.id


def record(connection: Connection, changes: list[Change], actor: str) -> None:
    """Write down each change of the directory."""
    for change in changes:
        audit.append(
            connection,
            f"{change.item.kind}:{EVENTS[change.sign]}",
            actor,
            " ".join(change.item.key)[-MAX_SUBJECT:],
            {"before": change.before, "after": change.after},
        )

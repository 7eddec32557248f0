"""What a file changes, and what it leaves alone. Reads the database, and changes nothing.

A file takes away only what an earlier file spoke of: people who were invited, and what was made by
the API, are not its own. What hangs on something that goes cannot stay, whoever made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca.directory.apply.diff import ORDER, Change, difference
from ca.directory.apply.section import Problem
from ca.identity.proofs import LOGIN
from ca.store import applied, directory, people, sso
from ca.store.items import Attributes, Directory, Item
from sshd_hook import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from ca.directory.apply.document import Document
    from ca.store.items import Items


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    `left` is what no file ever spoke of; `untried` are the slugs of providers that are required
    from now on, though nobody who decides has logged in with them yet.
    """

    changes: list[Change]
    left: list[Item]
    untried: list[str]


def plan(connection: Connection, document: Document, items: Items) -> Plan:
    """What it takes to make the directory what `document` says.

    Raises:
        InvalidFile: what is there contradicts it.
    """
    before, wanted = items.read(), document.directory
    # A provider of which the file says no more than that it is there is asked as the API says.
    asked_by_api = {
        item for item in before if item.kind == "client" and _provider_of(item) in wanted
    }
    owned = (applied.read(connection) | document.spoken_of) - asked_by_api
    gone = going(before, wanted, owned)
    left = {item: of for item, of in before.items() if item not in wanted and item not in gone}
    changes = difference(before, left | wanted)
    problems = [
        *_problems(connection, document, changes),
        *_clashes(document, left),
        *_orphaned(document, before, left, gone),
    ]
    if problems:
        raise document.invalid(problems)
    return Plan(
        changes,
        sorted(left.keys() - asked_by_api, key=lambda item: (ORDER[item.kind], item)),
        sorted(set(_untried(connection, changes))),
    )


def going(before: Directory, wanted: Directory, owned: frozenset[Item]) -> set[Item]:
    """What goes of `before`: what is owned and not wanted, and what hangs on that. Pure.

    Roles that no file gave also go where their project moves to another organization: they were
    given in the one before.
    """
    gone: set[Item] = set()
    moved = {
        item
        for item, attributes in wanted.items()
        if item.kind == "project"
        and item in before
        and before[item]["organization_id"] != attributes["organization_id"]
    }
    for item in sorted(before, key=lambda one: ORDER[one.kind]):
        if item in wanted:
            continue
        bases = set(_hangs_on(item, before[item]))
        was_given = item.kind == "access" and bases & moved
        if item in owned or bases & gone or was_given:
            gone.add(item)
    return gone


def _hangs_on(item: Item, attributes: Attributes) -> Iterator[Item]:
    """Without which an item cannot be."""
    match item.kind:
        case "member":
            yield from (Item("organization", item.key[:1]), Item("user", item.key[1:]))
        case "provider" | "project" | "service_user":
            yield Item("organization", (str(attributes["organization_id"]),))
        case "client":
            yield _provider_of(item)
        case "environment":
            yield Item("project", item.key[:1])
        case "service":
            service = names.parse_service(item.key[0])
            if service is not None:
                yield Item("environment", (service.project, service.environment))
            yield Item("host", (str(attributes["host"]),))
        case "access":
            yield Item("project", item.key[:1])
            yield from (Item(kind, item.key[1:2]) for kind in ("user", "service_user"))
        case "requirement":
            of, name = item.key
            yield Item(of, (name,))
        case _:
            pass


def _provider_of(client: Item) -> Item:
    return Item("provider", client.key)


def _problems(
    connection: Connection, document: Document, changes: list[Change]
) -> Iterator[Problem]:
    """What only the database knows to be wrong."""
    used = directory.used_slugs(connection)
    for change in changes:
        if change.item.kind == "provider" and change.after and change.item.key[0] in used:
            # A requirement or a certificate of the old one may still be about.
            yield Problem(
                document.path_of(change.item),
                "a provider had this slug before, and slugs are never used again: take another",
            )
        if change.item.kind == "user" and _is_somebody_else(connection, change):
            yield Problem(
                document.path_of(change.item),
                "somebody has this name who proved another e-mail address, perhaps by an"
                " invitation: if it is the same person, write theirs; if not, choose another name",
            )
        if change.item.kind == "service_user" and change.before and change.after:
            # Its API tokens are in the hands of those admins, who may have foreseen the name.
            owner = change.before["organization_id"]
            if owner != change.after["organization_id"]:
                yield Problem(
                    document.path_of(change.item),
                    f"is a service user of {owner}: remove it there first, or take another name",
                )


def _is_somebody_else(connection: Connection, change: Change) -> bool:
    # Whoever is invited chooses a name. It may be that of a newcomer whom the operator is about
    # to give roles.
    if change.before is None or change.after is None:
        return False
    moved = change.before["email"] != change.after["email"]
    return moved and people.has_proved_address(connection, change.item.key[0])


def _clashes(document: Document, left: Directory) -> Iterator[Problem]:
    """Whose name or address somebody has who is left alone."""
    emails = {of["email"]: item.key[0] for item, of in left.items() if item.kind == "user"}
    for item, attributes in document.directory.items():
        if item.kind == "user" and attributes["email"] in emails:
            name = emails[attributes["email"]]
            yield Problem(
                (*document.path_of(item), "email"),
                f"{attributes['email']!a} is the address of {name}, who is in no file: if it is the"
                f" same person, call them {name}",
            )
        other = {"user": "service_user", "service_user": "user"}.get(item.kind)
        if other is not None and Item(other, item.key) in left:
            yield Problem(document.path_of(item), "is also the name of another user")


def _orphaned(
    document: Document, before: Directory, left: Directory, gone: set[Item]
) -> Iterator[Problem]:
    """Providers that go, though a requirement that is left alone asks for them."""
    asked = {
        value
        for item, attributes in left.items()
        if item.kind == "requirement"
        for value in _amr(attributes)
    }
    for item in gone:
        if item.kind == "provider" and f"{LOGIN}{item.key[0]}" in asked:
            organization = Item("organization", (str(before[item]["organization_id"]),))
            yield Problem(
                document.path_of(organization),
                f"the provider {item.key[0]!a} is required here, by the API: say in the file what is"
                " required, or keep the provider",
            )


def _untried(connection: Connection, changes: list[Change]) -> Iterator[str]:
    moved = {
        change.item.key[0]
        for change in changes
        if change.item.kind == "client"
        and change.before
        and change.after
        and any(change.before[name] != change.after[name] for name in ("issuer", "client_id"))
    }
    for change in changes:
        if change.item.kind == "requirement" and change.after is not None:
            for value in _amr(change.after) - _amr(change.before or {}):
                slug = value.removeprefix(LOGIN)
                provider = sso.find_provider(connection, slug)
                tried = provider is not None and provider.tested_at is not None
                if value != slug and (slug in moved or not tried):
                    yield slug


def _amr(attributes: Attributes) -> set[str]:
    amr = attributes.get("amr")
    return set(amr) if isinstance(amr, list) else set()

"""What asks less of logins than before, and telling an organization's admins of it.

Whoever makes such a change may make it; the others shall see it, for it may not have been meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.directory import enforcement, model, requirements
from ca.identity import notices
from ca.store import directory, projects, served, sso
from ca.store.directory import Requirement
from ca.store.engine import reading
from ca.store.items import Item
from ca.words import roughly
from sshd_hook import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Engine

    from ca.directory.apply.diff import Change
    from ca.settings import Settings
    from ca.store.directory import Organization
    from ca.store.items import Attributes, Value

LIFETIMES = {
    "certificate_lifetime": "let its certificates live longer",
    "max_offline": "let its hosts decide longer without the CA",
}


def announce(
    engine: Engine, settings: Settings, actor: str, changes: Iterable[Change], *, but: str = ""
) -> None:
    """Tell the admins of those of these changes, which were made, that ask less of logins.

    `actor` is whoever made them, as people know them; `but` is the id of one who knows.
    """
    every = list(changes)
    made = {one.item.key[0] for one in every if one.item.kind == "organization" and not one.before}
    # With what is gone, so is what was required of it.
    over = {
        Item("requirement", (one.item.kind, *one.item.key)) for one in every if one.after is None
    }
    for change in every:
        what = _in_words(change)
        if what and change.item not in over:
            with reading(engine) as connection:
                concerned = {
                    of.name: directory.admins(connection, of.id)
                    for of in _organizations_of(connection, change)
                }
            for name in concerned.keys() - made:
                told = [admin for admin in concerned[name] if admin.id != but]
                notices.tell_of_less(settings, told, name, actor, what)


def _in_words(change: Change) -> str:
    """What was done, after "somebody has"; empty if it does not ask for less."""
    kind, key = change.item
    before, after = change.before, change.after
    if kind == "client" and after is not None and _values(after) - _values(before or {}):
        return (
            f'let more count as multi-factor that the provider "{key[0]}" says of a login. It is'
            f" now: {', '.join(sorted(_values(after)))}."
        )
    if before is None:
        return ""
    if kind == "requirement":
        was, asked = Requirement.of(before), Requirement.of(after or {})
        if requirements.weakens(was, asked):
            return (
                f"changed what the {' '.join(key)} requires of logins, so that it asks for less. It"
                f" is now: {enforcement.in_words(asked)}."
            )
    if kind == "host" and after is not None and after["report_only"] and not before["report_only"]:
        return (
            f"made the host {key[0]} only report. It lets in whoever lacks what is required of a"
            " login, and logs it."
        )
    if kind == "organization" and after is not None:
        for name, done in LIFETIMES.items():
            if _seconds(after[name]) > _seconds(before[name]):
                return f"{done}. It is now {roughly(_seconds(after[name]))}."
    return ""


def _values(client: Attributes) -> set[str]:
    values = client.get("mfa_values")
    return set(values) if isinstance(values, list) else set()


def _seconds(lifetime: Value) -> int:
    # None is the usual hour.
    return lifetime if isinstance(lifetime, int) else model.MAX_CERTIFICATE_LIFETIME


def _organizations_of(connection: Connection, change: Change) -> list[Organization]:
    """The organizations that a change concerns; none if that, or the project, is gone."""
    project = ""
    match change.item:
        case ("client", (slug,)):
            provider = sso.find_provider(connection, slug)
            name = provider.organization_id if provider else ""
        case ("requirement", ("project", name)):
            project = name
        case ("requirement", ("service", name)):
            service = names.parse_service(name)
            project = service.project if service else ""
        case ("host", (host,)):
            return served.organizations_on(connection, host)
        case (_kind, key):
            name = key[-1]
    if project:
        found = projects.find_project(connection, project)
        return [found[1]] if found else []
    organization = directory.find_organization(connection, name)
    return [organization] if organization else []

"""Giving a project another title, and removing it. The caller holds `directory.lock`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ca.directory.apply import execute
from ca.directory.apply.diff import Change
from ca.directory.apply.grammar import TITLE
from ca.errors import Conflict, InvalidRequest
from ca.store import hosts, people, projects
from ca.store.items import Item, Items

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ca.directory.projects import ProjectView
    from ca.store.items import Attributes


def rename(connection: Connection, view: ProjectView, title: str, actor: str) -> ProjectView:
    """Give a project another title.

    Raises:
        InvalidRequest: it is none.
    """
    if not TITLE.fits(title):
        raise InvalidRequest(f"title: {title[:80]!a} is not {TITLE.words}.")
    after = replace(view, project=replace(view.project, title=title))
    if after != view:
        change = Change(_item(view), _attributes(view), _attributes(after))
        execute.carry_out(connection, Items(connection), [change], actor)
    return after


def remove(connection: Connection, view: ProjectView, actor: str) -> None:
    """Remove a project with its environments, services and roles.

    Raises:
        Conflict: something more is required of it, or of a service in it, than of all others.
    """
    project = view.project.id
    services = projects.services(connection, project)
    guarded = hosts.requirements_of(connection, [project, *(one.name for one in services)])
    if guarded:
        raise Conflict(
            f"{min(guarded)} has a requirement of its own: only the operator removes it."
        )
    granted = projects.grants_in(connection, project)
    names = {user.id: user.username for user in people.find_users(connection, granted)}
    gone: list[tuple[Item, Attributes]] = [(_item(view), _attributes(view))]
    gone += [
        (Item("environment", (project, one.name)), {"type": one.type, "active": one.active})
        for one in projects.environments(connection, project)
    ]
    gone += [
        (Item("service", (one.name,)), {"host": one.host, "forwards": list(one.forwards)})
        for one in services
    ]
    gone += [
        (Item("access", (project, names[user], scope)), {"role": role})
        for user, roles in granted.items()
        for scope, role in roles.items()
    ]
    changes = [Change(item, before, None) for item, before in gone]
    execute.carry_out(connection, Items(connection), changes, actor)


def _item(view: ProjectView) -> Item:
    return Item("project", (view.project.id,))


def _attributes(view: ProjectView) -> Attributes:
    return {"organization_id": view.organization.name, "title": view.project.title}

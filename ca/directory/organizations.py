"""Changing an organization, making its projects, removing it. The caller holds `directory.lock`."""

from __future__ import annotations

import secrets
import string
from dataclasses import replace
from typing import TYPE_CHECKING

from ca.directory.apply import execute
from ca.directory.apply.diff import Change
from ca.directory.apply.grammar import TITLE
from ca.errors import Conflict, InvalidRequest
from ca.store import directory, members, projects
from ca.store.items import Item, Items
from sshd_hook import names

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ca.directory.read import OrganizationView
    from ca.store.directory import Organization
    from ca.store.items import Attributes
    from ca.store.projects import Project

MAX_PROJECTS = 1000  # of an organization, made by the API


def change(
    connection: Connection,
    view: OrganizationView,
    *,
    name: str | None,
    label: str | None,
    actor: str,
) -> Organization:
    """Give an organization another label, and return it with that.

    Raises:
        InvalidRequest: the label is none, or another name is asked for.
    """
    before = view.organization
    if name not in (None, before.name):
        raise InvalidRequest("name: it is the operator's to change, whose file knows it so.")
    if label is None or label == before.label:
        return before
    if not TITLE.fits(label):
        raise InvalidRequest(f"label: {label[:80]!a} is not {TITLE.words}.")
    changed = Change(_item(view), {"label": before.label}, {"label": label})
    execute.carry_out(connection, Items(connection), [changed], actor)
    return replace(before, label=label)


def remove(connection: Connection, view: OrganizationView, actor: str) -> None:
    """Remove an organization with its members and what it requires.

    Raises:
        Conflict: it has projects, providers of single sign-on or service users.
    """
    organization = view.organization
    left = directory.left_in(connection, organization.id)
    if left:
        raise Conflict(f"{organization.name} has {' and '.join(left)}: remove them first.")
    gone = [Change(_item(view), {"label": organization.label}, None)]
    if not view.stored.asks_nothing:
        required = Item("requirement", ("organization", organization.name))
        gone.append(Change(required, view.stored.attributes(), None))
    gone += [
        Change(Item("member", (organization.name, one.user.username)), {"role": one.role}, None)
        for one in members.members_of(connection, organization.id)
    ]
    execute.carry_out(connection, Items(connection), gone, actor)


def add_project(
    connection: Connection, view: OrganizationView, title: str | None, actor: str
) -> Project:
    """Make a project of an organization; without a title, its id is one.

    Raises:
        InvalidRequest: the title is none.
        Conflict: there are too many.
    """
    if title is not None and not TITLE.fits(title):
        raise InvalidRequest(f"title: {title[:80]!a} is not {TITLE.words}.")
    if projects.count_projects(connection, view.organization.id) >= MAX_PROJECTS:
        raise Conflict(f"An organization has at most {MAX_PROJECTS} projects.")
    project = new_project_id()
    attributes: Attributes = {
        "organization_id": view.organization.name,
        "title": title or project,
    }
    made = Change(Item("project", (project,)), None, attributes)
    execute.carry_out(connection, Items(connection), [made], actor)
    found = projects.find_project(connection, project)
    if found is None:
        raise Conflict("The project is gone again.")
    return found[0]


def new_project_id() -> str:
    """The id of a new project: random, since it is never used again and tells nothing."""
    alphabet = string.ascii_lowercase + string.digits
    while True:
        found = "".join(secrets.choice(alphabet) for _ in range(names.PROJECT_LENGTH))
        if names.is_project(found):
            return found


def _item(view: OrganizationView) -> Item:
    return Item("organization", (view.organization.name,))

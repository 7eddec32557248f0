"""Making, changing and removing the environments of a project, and their services.

The caller holds `directory.lock` and has asked the gate. A change here is one that `apply` could
make as well: it is carried out and recorded by the same functions. On which hosts an organization
lives, and what its services there forward to, is the operator's to say (docs/decisions/0071).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ca.directory import model
from ca.directory.apply import execute, grammar
from ca.directory.apply.diff import Change
from ca.errors import Conflict, InvalidRequest, NotFound
from ca.store import hosts, projects
from ca.store.items import Item, Items
from sshd_hook import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from ca.directory.apply.grammar import Form
    from ca.directory.projects import ProjectView
    from ca.store.items import Attributes
    from ca.store.projects import Environment, Service

DAY = 86400  # seconds
TYPE = grammar.one_of(model.ENVIRONMENT_TYPES)


def add_environment(connection: Connection, wanted: Environment, actor: str) -> None:
    """Make an environment.

    Raises:
        InvalidRequest: its name or type is none.
        Conflict: there is one of this name, or there are too many.
    """
    _check("name", wanted.name, grammar.LABEL)
    _check("type", wanted.type, TYPE)
    there = [one.name for one in projects.environments(connection, wanted.project_id)]
    if wanted.name in there:
        raise Conflict(f"There is an environment {wanted.name} already.")
    if len(there) >= model.MAX_ENVIRONMENTS:
        raise Conflict(f"A project has at most {model.MAX_ENVIRONMENTS} environments.")
    change = Change(_environment(wanted), None, _state(wanted))
    execute.carry_out(connection, Items(connection), [change], actor)


def change_environment(
    connection: Connection, before: Environment, after: Environment, actor: str
) -> None:
    """Give an environment another type, activate or deactivate it.

    Raises:
        InvalidRequest: there is no such type.
    """
    _check("type", after.type, TYPE)
    if after != before:
        change = Change(_environment(before), _state(before), _state(after))
        execute.carry_out(connection, Items(connection), [change], actor)


def remove_environment(connection: Connection, environment: Environment, actor: str) -> None:
    """Remove an environment with its services.

    Raises:
        Conflict: something more is required of one of its services.
    """
    services = services_of(connection, environment)
    _check_unguarded(connection, services)
    changes = [
        Change(_environment(environment), _state(environment), None),
        *(Change(_service(one), _place(one), None) for one in services),
    ]
    execute.carry_out(connection, Items(connection), changes, actor)


def services_of(connection: Connection, environment: Environment) -> list[Service]:
    """The services of an environment."""
    every = projects.services(connection, environment.project_id)
    return [one for one in every if one.environment == environment.name]


def find_service(connection: Connection, environment: Environment, app: str) -> Service:
    """The service that is called `app`, or "<app>--<worker>", in an environment.

    Raises:
        NotFound: there is none.
    """
    name = f"{environment.project_id}-{environment.name}--{app}"
    for service in services_of(connection, environment):
        if service.name == name:
            return service
    raise NotFound("There is no such service.")


def service_name(environment: Environment, app: str, worker: str) -> str:
    """The name of an app's service, or of one of its workers.

    Raises:
        InvalidRequest: it would be none.
    """
    words = [app, worker] if worker else [app]
    name = "--".join((f"{environment.project_id}-{environment.name}", *words))
    if not all(names.is_app(word) for word in words) or names.parse_service(name) is None:
        raise InvalidRequest(
            "app, worker: labels that begin with a letter; the whole name of a service has at"
            f" most {names.MAX_SERVICE} bytes."
        )
    return name


def add_service(connection: Connection, view: ProjectView, wanted: Service, actor: str) -> None:
    """Make a service on a host of its organization.

    Raises:
        InvalidRequest: the operator gave the organization no such place.
        Conflict: there is one of this name, or there were too many new ones today.
    """
    _check_placed(connection, view, wanted)
    there = projects.services(connection, view.project.id)
    if any(one.name == wanted.name for one in there):
        raise Conflict(f"There is a service {wanted.name} already.")
    today = int(time.time()) // DAY
    if projects.count_new_service(connection, view.organization.id, today) > model.MAX_NEW_SERVICES:
        raise Conflict(
            f"The organization made {model.MAX_NEW_SERVICES} services today, which is the most: each"
            " takes an account on its host for ever. Go on tomorrow, or ask the operator."
        )
    change = Change(_service(wanted), None, _place(wanted))
    execute.carry_out(connection, Items(connection), [change], actor)


def change_service(
    connection: Connection, view: ProjectView, before: Service, after: Service, actor: str
) -> None:
    """Move a service to another host of its organization, or let it forward elsewhere.

    Raises:
        InvalidRequest: the operator gave the organization no such place.
    """
    if after != before:
        _check_placed(connection, view, after)
        change = Change(_service(before), _place(before), _place(after))
        execute.carry_out(connection, Items(connection), [change], actor)


def remove_service(connection: Connection, service: Service, actor: str) -> None:
    """Remove a service.

    Raises:
        Conflict: something more is required of it.
    """
    _check_unguarded(connection, [service])
    change = Change(_service(service), _place(service), None)
    execute.carry_out(connection, Items(connection), [change], actor)


def _check(field: str, text: str, form: Form) -> None:
    if not form.fits(text):
        raise InvalidRequest(f"{field}: {text[:64]!a} is not {form.words}.")


def _check_placed(connection: Connection, view: ProjectView, service: Service) -> None:
    placements = projects.placements(connection, view.organization.id)
    # One answer for a host that there is not and for one that is others'.
    if service.host not in placements:
        raise InvalidRequest(
            f"host: {service.host[:64]!a} serves nothing of this organization:"
            " the operator says on which hosts it lives."
        )
    for forward in service.forwards:
        if forward not in placements[service.host]:
            raise InvalidRequest(
                f"forwards: {forward[:80]!a} is open to no service of this organization on this"
                " host: the operator says what may be reached through it."
            )


def _check_unguarded(connection: Connection, services: Iterable[Service]) -> None:
    """What is required of one service alone would be lost if it were removed and made anew."""
    guarded = hosts.requirements_of(connection, [one.name for one in services])
    if guarded:
        raise Conflict(
            f"{min(guarded)} has a requirement of its own: only the operator removes it."
        )


def _environment(environment: Environment) -> Item:
    return Item("environment", (environment.project_id, environment.name))


def _state(environment: Environment) -> Attributes:
    return {"type": environment.type, "active": environment.active}


def _service(service: Service) -> Item:
    return Item("service", (service.name,))


def _place(service: Service) -> Attributes:
    return {"host": service.host, "forwards": list(service.forwards)}

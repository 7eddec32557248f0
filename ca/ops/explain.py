"""`amrgate-ca host explain`: what a host would answer to somebody, and why."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ca.directory import explain, read
from ca.directory.enforcement import in_words
from ca.errors import NotFound
from ca.ops.database import open_database
from ca.ops.options import data_option
from ca.store import certificates, hosts, people, sessions
from ca.store.engine import reading
from ca.words import login_command, methods, moment, roughly
from sshd_hook.answer import CODES, REPORT_ONLY
from sshd_hook.policy import ALLOWED, MORE_AUTHENTICATION, NO_ACCESS, in_order

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from ca.directory.explain import Answer, Terms
    from ca.store.certificates import Issued
    from ca.store.directory import Requirement
    from ca.store.hosts import Host
    from ca.store.people import User
    from ca.store.served import Served
    from ca.store.sessions import GrantSession
    from sshd_hook.policy import Access

STATUS = {CODES[ALLOWED]: 0, REPORT_ONLY: 0, CODES[MORE_AUTHENTICATION]: 3}
NO_ACCESS_STATUS = 4
ROLES = {role: name for name, role in read.ROLES.items()}
IN_WORDS = {
    "allowed": "let in",
    "report_only": "let in, but only because what is missing is only reported",
    "more_authentication": "refused: more authentication is needed",
    "no_access": "refused: no access",
}


@dataclass(frozen=True)
class Login:
    """A live session, what the host would answer to its certificates, and those that there are."""

    session: GrantSession
    answer: Answer
    certificates: list[Issued]


@dataclass(frozen=True)
class Explained:
    """All that the answer rests on. `service` is None if the host serves none of this name."""

    host: Host
    user: User
    name: str
    service: Served | None
    terms: Terms | None
    access: Access | None
    logins: list[Login]

    @property
    def code(self) -> str:
        """The answer to the login that gets the furthest."""
        codes = {one.answer.code for one in self.logins}
        found = next((code for code in STATUS if code in codes), "")
        # Without any login, one would be needed; if that would help.
        helps = self.access is not None and self.access.role >= self.access.needed
        return found or CODES[MORE_AUTHENTICATION if helps and not self.logins else NO_ACCESS]


@click.command("explain")
@click.argument("host")
@click.argument("user")
@click.argument("service")
@click.option("--from", "peer", help="The address that the connection would come from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def explain_command(  # noqa: PLR0913 -- its arguments and options
    host: str, user: str, service: str, peer: str | None, data: Path, *, as_json: bool
) -> None:
    """Say what HOST would answer to USER for SERVICE.

    And why. USER is a name or id. Once for each of USER's live sessions, by what the directory says
    now; a host that has not heard of it yet may still answer by what was.

    Exit status: 0 if one of them is let in, 3 if a login that shows more would be, 4 if none would.

    \b
    Example:
      amrgate-ca host explain ssh.acme.example alice abcdefg123456-main-bvxea6i--app
    """
    now = int(time.time())
    with open_database(data) as engine, reading(engine) as connection:
        found = look(connection, host, user, service, peer, now)
    if as_json:
        click.echo(json.dumps(fields(found), indent=2))
    else:
        for line in lines(found, now):
            click.echo(line)
    sys.exit(STATUS.get(found.code, NO_ACCESS_STATUS))


def look(  # noqa: PLR0913, PLR0917 -- who, what, where, whence and when
    connection: Connection, host: str, user: str, service: str, peer: str | None, now: int
) -> Explained:
    """Look everything up.

    Raises:
        NotFound: there is no such host or user.
    """
    known = hosts.find_host(connection, host)
    if known is None:
        raise NotFound(f"There is no host {host!a}.")
    person = people.find_user_by_name(connection, user) or people.find_user(connection, user)
    if person is None:
        raise NotFound(f"There is no user {user!a}.")
    there = explain.find(connection, service)
    if there is not None and there.host != host:
        there = None
    terms = explain.terms(connection, there) if there else None
    access = explain.access(connection, there, person) if there else None
    usable = certificates.usable(connection, now, person.id)
    logins = [
        Login(
            one,
            explain.answer(terms or explain.NOTHING, access, one.claims, peer, now),
            [issued for issued in usable if issued.session == one.handle],
        )
        for one in sessions.live_sessions_of(connection, person.id, now)
    ]
    return Explained(known, person, service, there, terms, access, logins)


# --- in words -------------------------------------------------------------------------------


def lines(found: Explained, now: int) -> list[str]:
    """For people: who, what, why, and the next step."""
    said = [
        f"host          {found.host.name}: {_obeys(found.host)}",
        f"service       {found.name}{'' if found.service else ': this host serves no such service'}",
    ]
    if found.service is not None and found.terms is not None:
        environment = found.service.environment
        state = "active" if environment.active else "INACTIVE"
        said += [
            f"environment   {environment.name} ({environment.type}, {state})",
            f"organization  {found.service.organization.name}",
            *(_of_part(*part) for part in found.terms.parts.items()),
        ]
    said.append(f"user          {found.user.username} ({found.user.id}){_role(found)}")
    for login in found.logins:
        said += ["", *_of_login(found, login, now)]
    if not found.logins:
        said += ["", f"{found.user.username} has no live session."]
    return [*said, "", f"next step     {next_step(found)}"]


def next_step(found: Explained) -> str:
    """What somebody could do now."""
    asked = None if found.terms is None else found.terms.asked
    if asked is None or found.access is None or found.access.role < found.access.needed:
        return _way_to_access(found)
    if found.code == CODES[ALLOWED]:
        return f"ssh {found.name}@{found.host.name}"
    if found.code == CODES[NO_ACCESS]:
        return f"connect from {' or '.join(asked.networks or ()) or 'nowhere: no network will do'}"
    # A login may need more than is asked for: see the rule on foreign providers in `decide`.
    needed = [one.answer.decision.amr for one in found.logins if one.answer.decision.amr]
    amr = needed[0] if needed else in_order(asked.amr)
    return f"they log in: {login_command(amr, asked.max_age)}"


def _way_to_access(found: Explained) -> str:
    service = found.service
    if service is None:
        return "check the name, and which host has it: amrgate-ca host show HOST"
    if not service.environment.active:
        return "activate the environment"
    if found.user.disabled:
        return f"let them in again: amrgate-ca user enable {found.user.username}"
    where = f"{service.environment.type} in {service.environment.project_id}"
    return f"give them the role contributor on {where}"


def _obeys(host: Host) -> str:
    obeyed, newest = host.acknowledged[0], host.built.version
    current = "up to date" if obeyed == newest else f"obeys {obeyed}, not yet {newest}"
    state = "has not joined" if host.joined_at is None else current
    return f"{state}{', ONLY REPORTS' if host.report_only else ''}"


def _of_part(words: str, asked: Requirement) -> str:
    return f"asked for     {in_words(asked)}, by {words}"


def _role(found: Explained) -> str:
    if found.user.disabled:
        return ", DISABLED"
    if found.access is None:
        return ""
    exempt = ", exempt from what a login must show" if found.access.exempt else ""
    return f", {ROLES.get(found.access.role, 'no role')} there{exempt}"


def _of_login(found: Explained, login: Login, now: int) -> list[str]:
    session, answer = login.session, login.answer
    when = f", {moment(session.auth_time)}" if session.auth_time is not None else ""
    via = ", by device code" if session.via == "device" else ""
    said = [
        f"session       {session.handle}",
        f"  logged in   with {methods(session.amr)}{when}{via}",
        *(f"  certificate {_certificate(one, now)}" for one in login.certificates),
        f"  answer      {IN_WORDS[answer.code]}",
    ]
    if answer.missing:
        said.append(f"  missing     {', '.join(answer.missing)}")
    shown = explain.text(answer, found.name, found.user)
    return [*said, *(f"  | {line}" for line in shown.splitlines())]


def _certificate(one: Issued, now: int) -> str:
    state = "revoked: refused" if one.revoked_at is not None else "good"
    left = max(0, one.valid_before - now)
    return f"{one.serial}, {state}, for {roughly(left)} more"


# --- as JSON --------------------------------------------------------------------------------


def fields(found: Explained) -> dict[str, object]:
    """The same for programs."""
    service = found.service
    return {
        "host": found.host.name,
        "host_report_only": found.host.report_only,
        "service": found.name,
        "exists": service is not None,
        "environment": service
        and {
            "name": service.environment.name,
            "type": service.environment.type,
            "active": service.environment.active,
        },
        "organization": service and service.organization.name,
        "requirements": {
            words: asked.attributes()
            for words, asked in (found.terms.parts if found.terms else {}).items()
        },
        "user": {"id": found.user.id, "username": found.user.username},
        "role": ROLES.get(found.access.role) if found.access else None,
        "exempt": found.access.exempt if found.access else False,
        "outcome": found.code,
        "next_step": next_step(found),
        "sessions": [
            {
                "session": one.session.handle,
                "amr": sorted(one.session.amr),
                "auth_time": one.session.auth_time,
                "via": one.session.via or None,
                "certificates": [
                    {"serial": str(each.serial), "revoked": each.revoked_at is not None}
                    for each in one.certificates
                ],
                "outcome": one.answer.code,
                "missing": list(one.answer.missing),
                "text": explain.text(one.answer, found.name, found.user),
            }
            for one in found.logins
        ],
    }

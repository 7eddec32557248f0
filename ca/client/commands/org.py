"""`amrgate org`: organizations, their members, and what they ask of logins."""

from typing import Any

import click

from ca import words
from ca.client import output
from ca.client.commands import org_mfa
from ca.client.commands.common import account, json_option, own_path, path
from ca.client.output import ago, text

ROLES = ("admin", "viewer")


@click.group()
def org() -> None:
    """Your organizations. NAME is an organization's name, as `amrgate org list` shows it.

    \b
    Example:
        amrgate org list
        amrgate org mfa acme on
    """


org.add_command(org_mfa.mfa)


@org.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """List your organizations.

    \b
    Example:
        amrgate org list
    """
    me = account()
    found = output.items(me.call("GET", own_path(me, "organizations")))
    if as_json:
        output.as_json(found)
        return
    output.table(("NAME", "LABEL", "ID"), [_texts(one, "name", "label", "id") for one in found])


@org.command()
@click.argument("name")
@json_option
def show(name: str, *, as_json: bool) -> None:
    """Show an organization, and what it asks of logins.

    \b
    Example:
        amrgate org show acme
    """
    me = account()
    found = me.call("GET", path("organizations", name))
    asked = org_mfa.enforcement(me, name)
    if as_json:
        output.as_json({"organization": found, "mfa_enforcement": asked})
        return
    output.fields(
        [
            ("name", text(found, "name")),
            ("label", text(found, "label")),
            ("id", text(found, "id")),
            ("made", ago(found, "created_at", "")),
            ("logins", org_mfa.in_words(asked)),
        ]
    )


@org.command()
@click.argument("name")
@json_option
def members(name: str, *, as_json: bool) -> None:
    """List the members of an organization.

    \b
    Example:
        amrgate org members acme
    """
    found = org_mfa.members(account(), name)
    if as_json:
        output.as_json(found)
        return
    rows = [
        (
            text(one["user"], "username"),
            text(one["user"], "email"),
            _role(one),
            _has_mfa(one),
            text(one, "user_id"),
        )
        for one in found
    ]
    output.table(("NAME", "E-MAIL", "ROLE", "MFA", "ID"), rows)


@org.command()
@click.argument("name")
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
@json_option
def invite(name: str, email: str, role: str, *, as_json: bool) -> None:
    """Invite somebody to an organization by e-mail.

    \b
    Example:
        amrgate org invite acme dora@acme.example --role admin
    """
    body = {"email": email, "role": role}
    answer = account().call("POST", path("organizations", name, "invitations"), body)
    if as_json:
        output.as_json(answer)
        return
    click.echo(f"{words.safe(email)} was invited to {words.safe(name)} as {role}.")


@org.command(name="service-users")
@click.argument("name")
@json_option
def service_users(name: str, *, as_json: bool) -> None:
    """List the users that are programs.

    And when each last used a token. `amrgate token` takes their IDs.

    \b
    Example:
        amrgate org service-users acme
        amrgate token create pipeline --user 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    found = output.items(account().call("GET", path("organizations", name, "service-users")))
    if as_json:
        output.as_json(found)
        return
    rows = [
        (
            text(one, "username"),
            text(one, "name"),
            "yes" if one.get("exempt") is True else "no",
            ago(one, "last_used_at"),
            text(one, "id"),
        )
        for one in found
    ]
    output.table(("NAME", "LABEL", "EXEMPT", "USED", "ID"), rows)


def _has_mfa(member: dict[str, Any]) -> str:
    """Only admins are told."""
    return {True: "yes", False: "no"}.get(member.get("mfa_enabled"), "")  # type: ignore[arg-type]


def _role(member: dict[str, Any]) -> str:
    return "owner" if member.get("owner") is True else text(member, "level")


def _texts(item: object, *names: str) -> tuple[str, ...]:
    return tuple(text(item, name) for name in names)

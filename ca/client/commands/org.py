"""`amrgate org`: organizations, their members, and what they ask of logins."""

from typing import Any

import click

from ca.client import output, terminal
from ca.client.account import Account
from ca.client.commands.common import Length, account, json_option, own_path, path
from ca.client.output import ago, text
from sshd_hook.refusal import duration

ROLES = ("admin", "viewer")


@click.group()
def org() -> None:
    """Your organizations. NAME is an organization's name, as `amrgate org list` shows it.

    \b
    Example:
        amrgate org list
        amrgate org mfa acme on
    """


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
    asked = _enforcement(me, name)
    if as_json:
        output.as_json({"organization": found, "mfa_enforcement": asked})
        return
    output.fields(
        [
            ("name", text(found, "name")),
            ("label", text(found, "label")),
            ("id", text(found, "id")),
            ("made", ago(found, "created_at", "")),
            ("logins", _asked(asked)),
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
    found = _members(account(), name)
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
    click.echo(f"{terminal.safe(email)} was invited to {terminal.safe(name)} as {role}.")


@org.command()
@click.argument("name")
@click.argument("action", type=click.Choice(["status", "on", "off", "remind"]), default="status")
@click.option("--max-age", type=Length(), help="With `on`: how recent a login must be.")
@click.option("--device", is_flag=True, help="With `on`: take logins by device code, too.")
@json_option
def mfa(name: str, action: str, max_age: int | None, *, device: bool, as_json: bool) -> None:
    """Whether multi-factor logins are required; change it, remind members.

    `on` takes effect at the next connection, of everybody: `remind` sends an e-mail to the members
    who have no second factor.

    \b
    Example:
        amrgate org mfa acme
        amrgate org mfa acme on --max-age 1h
        amrgate org mfa acme remind
    """
    if action != "on" and (max_age is not None or device):
        raise click.UsageError("--max-age and --device go with `on`.")
    me = account()
    if action == "remind":
        _remind(me, name, as_json=as_json)
        return
    if action != "status":
        _change(me, name, action, max_age, device=device)
    asked = _enforcement(me, name)
    if as_json:
        output.as_json({"organization": name, **asked})
        return
    click.echo(f"{terminal.safe(name)}: {_asked(asked)}.")


def _change(me: Account, name: str, action: str, max_age: int | None, *, device: bool) -> None:
    here = path("organizations", name, "mfa-enforcement")
    if action == "off":
        me.call("POST", f"{here}/disable", {})
        return
    terms: dict[str, object] = {} if max_age is None else {"max_age": max_age}
    me.call("POST", f"{here}/enable", {**terms, "device": True} if device else terms)


def _remind(me: Account, name: str, *, as_json: bool) -> None:
    answer = me.call("POST", path("organizations", name, "mfa", "remind"), {})
    results = answer if isinstance(answer, dict) else {}
    if as_json:
        output.as_json(results)
        return
    if not results:
        click.echo("All members have a second factor: nobody was reminded.")
        return
    known = {text(one, "user_id"): text(one["user"], "username") for one in _members(me, name)}
    rows = [(known.get(who) or who, text(said, "message")) for who, said in results.items()]
    output.table(("MEMBER", "RESULT"), rows)


def _enforcement(me: Account, name: str) -> dict[str, object]:
    answer = me.call("GET", path("organizations", name, "mfa-enforcement"))
    found = answer if isinstance(answer, dict) else {}
    age = found.get("max_age")
    return {
        "enforce_mfa": found.get("enforce_mfa") is True,
        "max_age": age if type(age) is int else None,
        "device": found.get("device") is True,
    }


def _asked(asked: dict[str, object]) -> str:
    if not asked["enforce_mfa"]:
        return "MFA is not required"
    age = asked["max_age"]
    within = f", from a login within {duration(age)}" if isinstance(age, int) else ""
    return f"MFA is required{within}{', also by device code' if asked['device'] else ''}"


def _members(me: Account, name: str) -> list[dict[str, Any]]:
    """The members, each with what is said of them as a user."""
    answer = me.call("GET", path("organizations", name, "members"))
    people = _people(me, answer)
    found = output.items(answer)
    return [{**one, "user": people.get(text(one, "user_id"))} for one in found]


def _people(me: Account, answer: object) -> dict[str, Any]:
    """The users that an answer refers to, by id: its links lead to them."""
    links = answer.get("_links") if isinstance(answer, dict) else None
    people: dict[str, Any] = {}
    for name, link in links.items() if isinstance(links, dict) else []:
        href = text(link, "href")
        if name.startswith("ref:users:") and href.startswith("/ref/users?"):
            users = me.call("GET", href)
            people |= users if isinstance(users, dict) else {}
    return people


def _has_mfa(member: dict[str, Any]) -> str:
    """Only admins are told."""
    return {True: "yes", False: "no"}.get(member.get("mfa_enabled"), "")  # type: ignore[arg-type]


def _role(member: dict[str, Any]) -> str:
    return "owner" if member.get("owner") is True else text(member, "level")


def _texts(item: object, *names: str) -> tuple[str, ...]:
    return tuple(text(item, name) for name in names)

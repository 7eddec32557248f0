"""`amrgate org mfa`: whether an organization requires multi-factor logins, and getting there."""

from typing import Any

import click

from ca import words
from ca.client import output
from ca.client.account import Account
from ca.client.commands.common import Length, account, is_interactive, json_option, path
from ca.client.output import ago, text
from sshd_hook.refusal import duration

ACTIONS = ("status", "preview", "report", "on", "off", "remind")
REQUIRING = ("preview", "report", "on")
MOST_SHOWN = 10  # names


@click.command()
@click.argument("name")
@click.argument("action", type=click.Choice(ACTIONS), default="status")
@click.option("--max-age", type=Length(), help="How recent a login must be.")
@click.option("--device/--no-device", default=None, help="Take logins by device code, too, or not.")
@json_option
def mfa(name: str, action: str, max_age: int | None, *, device: bool | None, as_json: bool) -> None:
    """Whether MFA is required; change it, remind members.

    `preview` says whom it would meet. `report` asks for it, but only reports who lacks it. `on`
    holds it against everybody from the next connection on, and ends those that are open and would
    be refused. `remind` sends an e-mail to the members who have no second factor.

    \b
    Example:
        amrgate org mfa acme report
        amrgate org mfa acme on --max-age 1h
    """
    if action not in REQUIRING and (max_age, device) != (None, None):
        raise click.UsageError(f"--max-age and --device go with {', '.join(REQUIRING)}.")
    me = account()
    terms = _terms(max_age=max_age, device=device)
    if action == "remind":
        _remind(me, name, as_json=as_json)
        return
    if action == "preview":
        _show_preview(_preview(me, name, terms), as_json=as_json)
        return
    if action != "status":
        _change(me, name, action, terms)
    asked = enforcement(me, name)
    if as_json:
        output.as_json({"organization": name, **asked})
        return
    click.echo(f"{words.safe(name)}: {in_words(asked)}.")


def _terms(**said: int | None) -> dict[str, object]:
    """Those that were said: the others stay as they are."""
    return {name: value for name, value in said.items() if value is not None}


def _change(me: Account, name: str, action: str, terms: dict[str, object]) -> None:
    here = path("organizations", name, "mfa-enforcement")
    if action == "off":
        me.call("POST", f"{here}/disable", {})
        return
    if action == "on" and is_interactive():
        found = _preview(me, name, terms)
        if _meets_somebody(found):
            _show_preview(found, as_json=False)
            click.confirm("Require it now?", default=True, abort=True, err=True)
    if action == "report":
        terms["report_only"] = True
    me.call("POST", f"{here}/enable", terms)


# --- before it is required ------------------------------------------------------------------


def _preview(me: Account, name: str, terms: dict[str, object]) -> dict[str, Any]:
    query = "&".join(f"{key}={str(value).lower()}" for key, value in terms.items())
    here = path("organizations", name, "mfa-enforcement", "preview")
    found = me.call("GET", f"{here}?{query}" if query else here)
    return found if isinstance(found, dict) else {}


def _meets_somebody(found: dict[str, Any]) -> bool:
    return any(
        found.get(name) for name in ("locked_out", "service_users", "sessions", "connections")
    )


def _show_preview(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.as_json(found)
        return
    people, programs = _names(found, "locked_out"), _names(found, "service_users")
    click.echo(f"Locked out, until they have a second factor: {people or 'nobody'}.")
    if programs:
        click.echo(f"Service users locked out, until an owner exempts them: {programs}.")
    click.echo(
        f"Live sessions that would not do any more: {_number(found, 'sessions')},"
        f" certificates: {_number(found, 'certificates')}."
    )
    click.echo(f"Open connections that would be ended: {_number(found, 'connections')}.")
    rows = [
        (
            text(one, "host"),
            str(_number(one, "services")),
            str(_number(one, "connections")),
            ago(one, "heard_at", "never"),
        )
        for one in output.items(found.get("hosts"))
    ]
    if rows:
        output.table(("HOST", "SERVICES", "WOULD END", "SAID WHAT IS OPEN"), rows)


def _names(found: dict[str, Any], kind: str) -> str:
    names = [text(one, "username") for one in output.items(found.get(kind))]
    rest = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return words.safe(f"{', '.join(names[:MOST_SHOWN])}{rest}")


def _number(found: dict[str, Any], name: str) -> int:
    value = found.get(name)
    return value if type(value) is int else 0


def _remind(me: Account, name: str, *, as_json: bool) -> None:
    answer = me.call("POST", path("organizations", name, "mfa", "remind"), {})
    results = answer if isinstance(answer, dict) else {}
    if as_json:
        output.as_json(results)
        return
    if not results:
        click.echo("All members have a second factor: nobody was reminded.")
        return
    known = {text(one, "user_id"): text(one["user"], "username") for one in members(me, name)}
    rows = [(known.get(who) or who, text(said, "message")) for who, said in results.items()]
    output.table(("MEMBER", "RESULT"), rows)


def enforcement(me: Account, name: str) -> dict[str, object]:
    """What an organization asks for."""
    answer = me.call("GET", path("organizations", name, "mfa-enforcement"))
    found = answer if isinstance(answer, dict) else {}
    age = found.get("max_age")
    return {
        "enforce_mfa": found.get("enforce_mfa") is True,
        "max_age": age if type(age) is int else None,
        "device": found.get("device") is True,
        "report_only": found.get("report_only") is True,
    }


def in_words(asked: dict[str, object]) -> str:
    """The same for people."""
    if not asked["enforce_mfa"]:
        return "MFA is not required"
    age = asked["max_age"]
    within = f", from a login within {duration(age)}" if isinstance(age, int) else ""
    device = ", also by device code" if asked["device"] else ""
    reported = ", but only reported: whoever lacks it is let in" if asked["report_only"] else ""
    return f"MFA is required{within}{device}{reported}"


def members(me: Account, name: str) -> list[dict[str, Any]]:
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

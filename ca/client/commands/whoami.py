"""`amrgate whoami`."""

import time

import click

from ca.client import certificates, output
from ca.client.account import Account
from ca.client.certificates import validity
from ca.client.commands.common import account, json_option
from ca.client.output import text, texts
from ca.words import methods, roughly, safe


@click.command()
@json_option
def whoami(*, as_json: bool) -> None:
    """Say who is logged in, and how.

    \b
    Example:
        amrgate whoami
        amrgate whoami --json
    """
    me = account()
    user = me.call("GET", "/users/me")
    claims, certificate = me.session().claims(), certificates.present(me.place)
    at = claims.get("auth_time")
    found = {
        "id": text(user, "id"),
        "username": text(user, "username"),
        "name": name_of(user),
        "email": text(user, "email"),
        "ca": me.session().ca,
        "amr": texts(claims, "amr"),
        "auth_time": at if type(at) is int else None,
        "via": text(claims, "via"),
        "session": text(claims, "sid"),
        "certificate_until": certificate.valid_before if certificate else None,
    }
    if as_json:
        output.as_json(found)
        return
    now = int(time.time())
    by_device = "by a code on another device" if found["via"] == "device" else ""
    click.echo(safe(f"{found['name']} ({found['username']}, {found['email']})"))
    output.fields(
        [
            ("id", text(user, "id")),
            ("authority", me.session().ca),
            ("proved", methods(texts(claims, "amr"))),
            ("amr", ",".join(texts(claims, "amr"))),
            ("logged in", f"{roughly(max(0, now - at))} ago" if type(at) is int else ""),
            ("via", by_device or text(claims, "via")),
            ("session", text(claims, "sid")),
            ("certificate", validity(certificate, now) if certificate else "none"),
        ]
    )


def describe(me: Account) -> str:
    """Who is logged in, on one line."""
    user = me.call("GET", "/users/me")
    return safe(f"{name_of(user)} ({text(user, 'email')})")


def name_of(user: object) -> str:
    """First and last name; the user name where there is none."""
    full = f"{text(user, 'first_name')} {text(user, 'last_name')}".strip()
    return full or text(user, "username")

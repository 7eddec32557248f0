"""Figure F18: secrets that went through every way of logging in, looked for where they must not be."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from ca.identity import recovery
from ca.keys.files import seed
from ca.oauth.device import GRANT_TYPE
from ca.store import people
from ca.store.engine import writing
from demo.browser import form_of
from tests.drills.drill import Drill, Finding
from tests.drills.nodes import PASSPHRASE
from tests.drills.people import newcomer
from tests.drills.secret_links import links, make_organization
from tests.drills.secret_places import MAILED, found, places
from tests.web import BACK, PASSWORD, Client, wind_back

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from tests.drills.nodes import Answer, Caller, Nodes, Stage
    from tests.drills.secret_places import Secret
    from tests.web import Person

GUESS = "a wrong password, typed by mistake"
GRANTS = {
    "code": "authorization_code",
    "refresh_token": "refresh_token",
    "device_code": GRANT_TYPE,
    "api_token": "api_token",
}
"""What a token may be sent as, also where it is another kind of one."""


def canaries(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """`count` people log in by every factor, take and use tokens, and make mistakes with them."""
    nodes = stage.nodes
    known = dict(_of_the_service(nodes))
    everybody = [newcomer(nodes.services, app=True) for _ in range(count)]
    make_organization(nodes, everybody)
    with nodes.callers() as callers:
        for number, person in enumerate(everybody):
            for name, secret in _one_persons(nodes, callers[number % 2], person):
                known[f"{name} of person {number}"] = secret
            tell(number + 1)
    where = dict(places(nodes))
    hits = found(known, where)
    figures = {"places": str(len(where)), "bytes": str(sum(map(len, where.values())))}
    return Finding(len(known), len(hits), figures | ({"found": "; ".join(hits)} if hits else {}))


DRILLS = (Drill("canaries", "F18", "0 found", 20, 1, canaries),)


def _of_the_service(nodes: Nodes) -> Iterator[Secret]:
    keys = nodes.services.keys
    for name in ("user_ca", "host_ca", "bundle", "token"):
        yield f"{name} key", seed(getattr(keys, name).private_key)
    yield "passphrase", PASSPHRASE.encode()


def _one_persons(nodes: Nodes, caller: Caller, person: Person) -> Iterator[Secret]:
    """What went over the wire, and what it rests on."""
    assert person.secret
    cookie = yield from _log_in(nodes, caller, person, recovered=False)
    tokens = yield from _tokens(nodes, caller, cookie)
    tokens |= _api_token(caller, cookie) | _device(caller, cookie)
    yield from _log_in(nodes, caller, person, recovered=True)
    yield "password", PASSWORD.encode()
    yield "seed", person.secret.encode()
    yield from ((name, value.encode()) for name, value in tokens.items())
    _mistype(caller, person)
    yield "password typed wrong", GUESS.encode()
    _misplace(caller, cookie, tokens.values())
    mailed = dict(links(nodes, caller, person, cookie, tokens["second access token"]))
    yield from mailed.items()
    over = [secret.decode() for name, secret in mailed.items() if name.startswith(MAILED)]
    _misplace(caller, cookie, [*over, tokens["API token"]])  # which ended with the password


def _log_in(
    nodes: Nodes, caller: Caller, person: Person, *, recovered: bool
) -> Generator[Secret, None, str]:
    first = caller.post("/login", {"username": person.username, "password": PASSWORD})
    yield "cookie", first.cookie.encode()
    code = _recovery_code(nodes, person) if recovered else _app_code(nodes, person)
    form = form_of(caller.get(first.location, first.cookie).text)
    assert form
    second = caller.post("/login/code", form.hidden | {"code": code}, first.cookie)
    assert second.cookie, second.text
    yield "lifted cookie", second.cookie.encode()
    if recovered:
        yield "recovery code", code.encode()
    return second.cookie


def _app_code(nodes: Nodes, person: Person) -> str:
    wind_back(nodes.services, person)
    return person.code()


def _recovery_code(nodes: Nodes, person: Person) -> str:
    (code, *_) = recovery.new_codes()
    hashed = recovery.hash_of(person.id, recovery.normal(code))
    with writing(nodes.services.engine) as connection:
        people.put_recovery_codes(connection, person.id, [hashed])
    return code


def _tokens(nodes: Nodes, caller: Caller, cookie: str) -> Generator[Secret, None, dict[str, str]]:
    """A code, its tokens, what they are refreshed into, and a call with them."""
    client = Client(nodes.services)
    asked = urlsplit(client.url())
    consent = caller.get(f"{asked.path}?{asked.query}", cookie)
    form = form_of(caller.get(consent.location, cookie).text)
    assert form
    sent = caller.post(form.action, form.hidden | {"decision": "allow"}, cookie)
    (code,) = parse_qs(urlsplit(sent.location).query)["code"]
    yield "code", code.encode()
    yield "verifier", client.verifier.encode()
    spend = {"grant_type": "authorization_code", "client_id": "amrgate", "code": code}
    spend |= {"redirect_uri": BACK, "code_verifier": client.verifier}
    given = _json(caller.post("/oauth2/token", spend))
    renew = {"grant_type": "refresh_token", "client_id": "amrgate"}
    again = _json(caller.post("/oauth2/token", renew | {"refresh_token": given["refresh_token"]}))
    assert caller.get("/users/me", token=again["access_token"]).status == 200
    return {
        "access token": given["access_token"],
        "refresh token": given["refresh_token"],
        "second access token": again["access_token"],
        "second refresh token": again["refresh_token"],
    }


def _api_token(caller: Caller, cookie: str) -> dict[str, str]:
    """One that somebody makes, and what a program is given for it."""
    page = caller.post("/security/tokens/new", {"name": "canary", "days": "7"}, cookie)
    shown = re.search(r'id="token">([^<]+)<', page.text)
    assert shown, page.text
    spend = {"grant_type": "api_token", "client_id": "amrgate", "api_token": shown[1]}
    given = _json(caller.post("/oauth2/token", spend))
    assert caller.get("/users/me", token=given["access_token"]).status == 200
    return {"API token": shown[1], "API token's access token": given["access_token"]}


def _device(caller: Caller, cookie: str) -> dict[str, str]:
    """Both codes of a device that somebody lets in, and what it is given."""
    asked = _json(caller.post("/oauth2/device_authorization", {"client_id": "amrgate"}))
    poll = {"grant_type": GRANT_TYPE, "client_id": "amrgate", "device_code": asked["device_code"]}
    assert caller.post("/oauth2/token", poll).status == 400, "nobody has allowed it yet"
    typed = caller.post("/device", {"user_code": asked["user_code"]}, cookie)
    form = form_of(caller.get(typed.location, cookie).text)
    assert form
    caller.post(form.action, form.hidden | {"decision": "allow"}, cookie)
    given = _json(caller.post("/oauth2/token", poll))
    return {
        "device code": asked["device_code"],
        "user code": asked["user_code"],
        "user code without its dash": asked["user_code"].replace("-", ""),
        "device's access token": given["access_token"],
        "device's refresh token": given["refresh_token"],
    }


def _mistype(caller: Caller, person: Person) -> None:
    """What people get wrong: a password, also where their name belongs."""
    caller.post("/login", {"username": person.username, "password": GUESS})
    caller.post("/login", {"username": GUESS, "password": GUESS})


def _misplace(caller: Caller, cookie: str, tokens: Iterable[str]) -> None:
    """What programs get wrong: a token where something else belongs."""
    for token in tokens:
        caller.get(f"/users/me?access_token={token}&why=none")
        caller.get("/users/me", token=f"{token}x")
        caller.get(f"/oauth2/authorize?client_id={token}&redirect_uri={token}", cookie)
        caller.get(f"/{token}")
        caller.post("/oauth2/token", {"grant_type": token, "client_id": token})
        for field, grant in GRANTS.items():
            form = {"grant_type": grant, "client_id": "amrgate"}
            caller.post("/oauth2/token", form | {field: token})
            caller.post("/oauth2/token", form | {field: f"{token}x"})
        for page in ("/device", "/reset", "/email", "/invitation"):
            caller.get(f"{page}?token={token}&user_code={token}", cookie)
            caller.post(page, {"token": token, "user_code": token})


def _json(answer: Answer) -> dict[str, str]:
    assert answer.status == 200, answer.text
    found: dict[str, str] = json.loads(answer.text)
    return found

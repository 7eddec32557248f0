"""Figure F18: secrets that went through every way of logging in, looked for where they must not be."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

import psycopg
from sqlalchemy.engine import make_url

from ca.identity import recovery
from ca.keys.files import seed
from ca.store import people
from ca.store.engine import writing
from demo.browser import form_of
from tests.drills.drill import Drill, Finding
from tests.drills.nodes import PASSPHRASE
from tests.drills.people import newcomer
from tests.web import BACK, PASSWORD, Client, wind_back

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.drills.nodes import Answer, Caller, Nodes, Stage
    from tests.web import Person

    Secret = tuple[str, bytes]

GUESS = "a wrong password, typed by mistake"


def canaries(stage: Stage, count: int, tell: Callable[[int], None]) -> Finding:
    """`count` people log in by every factor, take and use tokens, and make mistakes with them."""
    nodes = stage.nodes
    known = dict(_of_the_service(nodes))
    with nodes.callers() as callers:
        for number in range(count):
            for name, secret in _one_persons(nodes, callers[number % 2]):
                known[f"{name} of person {number}"] = secret
            tell(number + 1)
    places = dict(_places(nodes))
    hits = sorted(
        f"{name} in {place}"
        for place, found in places.items()
        for name, secret in known.items()
        if any(shape in found for shape in _shapes(secret))
    )
    figures = {"places": str(len(places)), "bytes": str(sum(map(len, places.values())))}
    return Finding(len(known), len(hits), figures | ({"found": "; ".join(hits)} if hits else {}))


DRILLS = (Drill("canaries", "F18", "0 found", 20, 1, canaries),)


def _of_the_service(nodes: Nodes) -> Iterator[Secret]:
    keys = nodes.services.keys
    for name in ("user_ca", "host_ca", "bundle", "token"):
        yield f"{name} key", seed(getattr(keys, name).private_key)
    yield "passphrase", PASSPHRASE.encode()


def _one_persons(nodes: Nodes, caller: Caller) -> Iterator[Secret]:
    """What went over the wire, and what it rests on."""
    person = newcomer(nodes.services, app=True)
    assert person.secret
    cookie = yield from _log_in(nodes, caller, person, recovered=False)
    tokens = yield from _tokens(nodes, caller, cookie)
    yield from _log_in(nodes, caller, person, recovered=True)
    yield "password", PASSWORD.encode()
    yield "seed", person.secret.encode()
    yield from ((name, value.encode()) for name, value in tokens.items())
    _err(caller, person, cookie, tokens)
    yield "password typed wrong", GUESS.encode()


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


def _err(caller: Caller, person: Person, cookie: str, tokens: dict[str, str]) -> None:
    """What people get wrong: a secret where something else belongs."""
    caller.post("/login", {"username": person.username, "password": GUESS})
    caller.post("/login", {"username": GUESS, "password": GUESS})
    for name, token in tokens.items():
        caller.get(f"/users/me?access_token={token}&why={name.replace(' ', '+')}")
        caller.get("/users/me", token=f"{token}x")
        caller.get(f"/oauth2/authorize?client_id={token}&redirect_uri={token}", cookie)
        caller.get(f"/{token}")
        caller.post("/oauth2/token", {"grant_type": token, "client_id": token})
        caller.post("/oauth2/token", {"grant_type": "refresh_token", "refresh_token": token})


def _places(nodes: Nodes) -> Iterator[Secret]:
    """Where nothing secret may be: logs, the database, the data folders, what /proc shows."""
    time.sleep(0.5)  # for the last line of a log
    for path in sorted(nodes.folder.rglob("*")):
        if path.is_file() and path.name != "passphrase":
            yield str(path.relative_to(nodes.folder)), path.read_bytes()
    for number, process in enumerate(nodes.processes):
        for name in ("cmdline", "environ"):
            with open(f"/proc/{process.pid}/{name}", "rb") as file:  # noqa: PTH123 no real file
                yield f"{name} of node {number}", file.read()
    url = make_url(nodes.services.settings.database)
    conninfo = f"host={url.query['host']} user=postgres dbname={url.database}"
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        for (table,) in tables:
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT'.encode()) as rows:
                yield f"table {table}", b"".join(map(bytes, rows))


def _shapes(secret: bytes) -> set[bytes]:
    """A secret as it is, and as a log, a URL or a dump would have it."""
    whole = base64.b64encode(secret).rstrip(b"=")
    # The last digit of base64 depends on what follows.
    cut = whole[: len(secret) * 8 // 6]
    return {
        secret,
        quote(secret).encode(),
        secret.hex().encode(),
        cut,
        json.dumps(secret.decode("latin-1")).encode()[1:-1],
    }


def _json(answer: Answer) -> dict[str, str]:
    assert answer.status == 200, answer.text
    found: dict[str, str] = json.loads(answer.text)
    return found

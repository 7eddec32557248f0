"""API tokens: what they look like, who makes them, and what they are exchanged for."""

from __future__ import annotations

import re
import time
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, select
from starlette.testclient import TestClient

from ca.app import create_app
from ca.errors import CAError, InsufficientAuthentication
from ca.identity import api_tokens
from ca.identity.api_tokens import MAX_LIFETIME, Wish
from ca.identity.attempts import in_window
from ca.identity.factors import Acting
from ca.identity.sessions import hash_of
from ca.oauth import api_token as grant
from ca.oauth.grants import Server
from ca.store import attempts, sessions, tables
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from tests.databases import new_sqlite
from tests.directory import log_in, records
from tests.oauth import claims_of
from tests.test_contract_shapes import answer_schema, check
from tests.web import ISSUER, Browser, Client, Person, add_person, new_services, pass_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ca.services import Services
    from tests.directory import Api

NUMBERS = count()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """One CA for all of these tests, each of which has people of its own."""
    folder = tmp_path_factory.mktemp("ca")
    with new_services(new_sqlite(folder), folder) as new:
        yield new


def somebody(services: Services, *, app: bool = False) -> Person:
    return add_person(services, f"somebody-{next(NUMBERS)}", app=app)


@pytest.fixture
def alice(services: Services) -> Person:
    return somebody(services, app=True)


def mails_to(services: Services, person: Person) -> list[str]:
    folder = services.settings.data / "mail"
    texts = [file.read_text() for file in folder.iterdir()] if folder.exists() else []
    return [text for text in texts if f"To: {person.username}@" in text]


def tokens_path(api: Api) -> str:
    return f"/users/{api.user.id}/api-tokens"


def make(api: Api, name: str = "laptop", **asked: Any) -> Any:
    return api.post(tokens_path(api), {"name": name, **asked})


def made(api: Api, name: str = "laptop") -> dict[str, Any]:
    response = make(api, name)
    assert response.status_code == 201, response.text
    token: dict[str, Any] = response.json()
    return token


@cache
def http_of(services: Services) -> TestClient:
    return TestClient(create_app(services), base_url=ISSUER, follow_redirects=False)


def exchange(services: Services, secret: str, **changed: str) -> Any:
    """As the existing client does it: no Basic, an empty secret."""
    form = {
        "client_id": "amrgate",
        "client_secret": "",
        "grant_type": "api_token",
        "api_token": secret,
        **changed,
    }
    return http_of(services).post("/oauth2/token", data=form)


def access_token(services: Services, secret: str) -> str:
    response = exchange(services, secret)
    assert response.status_code == 200, response.text
    return str(response.json()["access_token"])


def is_good(services: Services, token: str) -> bool:
    headers = {"authorization": f"Bearer {token}"}
    return http_of(services).get("/users/me", headers=headers).status_code == 200


# --- the form -------------------------------------------------------------------------------


@pytest.mark.attack(91)
def test_a_token_has_the_form_that_scanners_look_for_and_enough_of_chance() -> None:
    found = [api_tokens.new_secret() for _ in range(500)]

    assert all(re.fullmatch(r"amrgate_[0-9A-Za-z]{36}", one) for one in found)
    assert all(map(api_tokens.is_well_formed, found))
    assert len(set(found)) == len(found)
    assert 62**api_tokens.RANDOM_DIGITS > 2**128
    # Every digit occurs at every random place: none of them is fixed.
    for place in range(len(api_tokens.PREFIX), api_tokens.LENGTH - api_tokens.CHECK_DIGITS):
        assert len({one[place] for one in found}) > 50


def test_the_checksum_is_the_crc_32_that_gzip_computes() -> None:
    assert api_tokens.is_well_formed("amrgate_0000000000000000000000000000003TOyav")


@pytest.mark.attack(91)
def test_a_mistyped_token_is_refused_without_the_database(
    services: Services, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = made(log_in(services, alice.username, "pwd", "otp"))["token"]
    monkeypatch.setattr(grant, "writing", None)  # whoever asks the database, fails
    other = "0" if secret[-1] != "0" else "1"
    wrong = {
        secret[:-1],
        secret + "0",
        secret[:-1] + other,
        secret.replace("amrgate_", "amrgato_"),
        secret[:10] + secret[11] + secret[10] + secret[12:],
        secret.upper(),
        "amrgate_" + "0" * 36,
        "amrgate_" + "é" * 36,
        "",
        "x" * 100_000,
    } - {secret}

    answers = {(one.status_code, one.text) for one in (exchange(services, it) for it in wrong)}

    ((status, body),) = answers
    assert status == 400
    assert '"invalid_grant"' in body
    assert "API token" in body


@pytest.mark.attack(91, 118)
def test_made_up_tokens_are_counted_per_address_and_stopped_there(tmp_path: Path) -> None:
    with new_services(new_sqlite(tmp_path), tmp_path) as own:
        token = made(log_in(own, add_person(own, "alice", app=True).username, "pwd", "otp"))
        gone = made(log_in(own, "alice", "pwd", "otp"), "gone")
        api = log_in(own, "alice", "pwd")
        api.http.delete(f"{tokens_path(api)}/{gone['id']}")

        now, server = int(time.time()), Server(own.settings, own.engine, own.keys.token)

        def answers(address: str, *secrets: str, later: int = 0) -> list[str]:
            found = []
            for one in secrets:
                try:
                    grant.exchange_api_token(server, "amrgate", one, address, now + later)
                    found.append("good")
                except CAError as error:
                    found.append(error.code)
            return found

        most, wrong, stopped = grant.MAX_MADE_UP, "invalid_grant", "too_many_attempts"
        # A mistyped one is refused without a look, and one that was removed is no guess.
        answers("2001:db8::1", *[gone["token"], token["token"][:-1] + "-"] * most)
        made_up = [api_tokens.new_secret() for _ in range(most)]
        assert set(answers("2001:db8::1", *made_up[1:])) == {wrong}
        assert answers("2001:db8::ffff", token["token"], made_up[0]) == ["good", wrong]
        events = [record for record in records(own.engine) if record[0] == "api_token:guess"]
        assert events == [("api_token:guess", "amrgate", "2001:db8::ffff")]

        # Who is stopped does not stop the others at the same address.
        tried = made_up[0], token["token"], made_up[0]
        assert answers("2001:db8::2", *tried) == [stopped, "good", stopped]
        assert answers("2001:db8:0:1::1", token["token"]) == ["good"], "another network"
        assert answers("2001:db8::1", token["token"], later=3600) == ["good"]


def test_the_address_that_counts_is_the_one_that_asks(services: Services) -> None:
    for address, status in ("192.0.2.66", 429), ("192.0.2.67", 400):
        client = TestClient(create_app(services), base_url=ISSUER, client=(address, 1))
        form = {"client_id": "amrgate", "grant_type": "api_token"}
        with writing(services.engine) as connection:
            for moment in 0, 3600:  # the hour may end now
                subject = in_window("Token 192.0.2.66", int(time.time()) + moment)
                for _ in range(grant.MAX_MADE_UP):
                    attempts.count_below(connection, subject, grant.MAX_MADE_UP, 1)
        answer = client.post("/oauth2/token", data=form | {"api_token": api_tokens.new_secret()})
        assert answer.status_code == status


@pytest.mark.attack(80, 91)
def test_as_an_access_token_none_is_looked_up(services: Services, alice: Person) -> None:
    """So nothing is learnt by trying, however often: a made-up one is as good as a right one."""
    token = made(log_in(services, alice.username, "pwd", "otp"))["token"]
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(services.engine, "before_cursor_execute", note)
    answers = [
        http_of(services).get("/users/me", headers={"authorization": f"Bearer {one}"})
        for one in (token, api_tokens.new_secret())
    ]
    event.remove(services.engine, "before_cursor_execute", note)

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()
    assert asked == []


# --- making one -----------------------------------------------------------------------------


@pytest.mark.attack(91)
def test_a_token_is_shown_once_and_only_its_hash_is_kept(services: Services, alice: Person) -> None:
    api = log_in(services, alice.username, "pwd", "otp")

    token = made(api)
    listed, shown = api.get(tokens_path(api)), api.get(f"{tokens_path(api)}/{token['id']}")

    schema = answer_schema("/users/{user_id}/api-tokens", "post", "201")
    assert schema
    check(token, schema)
    assert token["mfa_on_creation"] is True
    assert token["last_used_at"] is None
    for response in (listed, shown):
        assert "token" not in (response.json()[0] if response is listed else response.json())
        assert token["token"] not in response.text
    random = token["token"][len(api_tokens.PREFIX) :]
    with reading(services.engine) as connection:
        for table in tables.metadata.sorted_tables:
            assert random not in str(connection.execute(select(table)).all()), table
        mine = select(tables.api_tokens).where(tables.api_tokens.c.user_id == alice.id)
        kept = connection.execute(mine).one()
    assert kept.token_hash != token["token"]
    assert len(kept.token_hash) == 64
    assert ("api_token:add", alice.id, alice.id) in records(services.engine)
    (mail,) = mails_to(services, alice)
    assert "API token was made" in mail
    assert random not in mail


def test_what_is_asked_has_its_shapes(services: Services, alice: Person) -> None:
    api = log_in(services, alice.username, "pwd", "otp")
    token = made(api)
    many, one = "/users/{user_id}/api-tokens", "/users/{user_id}/api-tokens/{token_id}"
    for path, response in (
        (many, api.get(tokens_path(api))),
        (one, api.get(f"{tokens_path(api)}/{token['id']}")),
    ):
        schema = answer_schema(path, "get", "200")
        assert schema
        check(response.json(), schema)
    refusals = {
        400: make(api, ""),
        409: make(api),
        404: api.get(f"{tokens_path(api)}/nobody"),
    }
    for status, response in refusals.items():
        assert response.status_code == status
        check(response.json(), answer_schema(many, "post", "400") or {})

    assert api.http.delete(f"{tokens_path(api)}/{token['id']}").status_code == 204
    assert api.get(tokens_path(api)).json() == []


@pytest.mark.attack(75)
@pytest.mark.parametrize(
    ("lifetime", "status"),
    [
        (MAX_LIFETIME, 201),
        (300, 201),
        *((wrong, 400) for wrong in (0, -1, 1, 299, MAX_LIFETIME + 1, 2**63, "1e9", 300.0, None)),
        (True, 400),
    ],
)
def test_a_token_lives_for_ninety_days_at_most(
    services: Services, alice: Person, lifetime: object, status: int
) -> None:
    api = log_in(services, alice.username, "pwd", "otp")

    assert make(api, lifetime=lifetime).status_code == status

    with reading(services.engine) as connection:
        mine = select(tables.api_tokens).where(tables.api_tokens.c.user_id == alice.id)
        found = connection.execute(mine).all()
    assert [one.expires_at - one.created_at for one in found] == [lifetime] * (status == 201)


def test_without_a_lifetime_it_is_ninety_days(services: Services, alice: Person) -> None:
    made(log_in(services, alice.username, "pwd", "otp"))

    with reading(services.engine) as connection:
        mine = select(tables.api_tokens).where(tables.api_tokens.c.user_id == alice.id)
        one = connection.execute(mine).one()
    assert one.expires_at - one.created_at == 90 * 86400


@pytest.mark.attack(91)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_nothing_of_a_token_can_be_changed(services: Services, alice: Person, method: str) -> None:
    api = log_in(services, alice.username, "pwd", "otp")
    path = f"{tokens_path(api)}/{made(api)['id']}"

    response = api.http.request(method, path, json={"scope": "offline_access", "lifetime": 9**9})

    assert response.status_code == 405


@pytest.mark.parametrize("extra", [{"scope": "admin"}, {"amr": ["mfa"]}, {"user_id": "bob"}])
def test_nothing_else_can_be_asked_for(
    services: Services, alice: Person, extra: dict[str, Any]
) -> None:
    assert make(log_in(services, alice.username, "pwd", "otp"), **extra).status_code == 400


@pytest.mark.attack(202)
@pytest.mark.parametrize(
    ("proofs", "ago"),
    [
        pytest.param(("pwd",), 0, id="a stolen password"),
        pytest.param(("pwd", "otp"), 601, id="a login of eleven minutes ago"),
        pytest.param(("sso:acme",), 0, id="single sign-on alone"),
        pytest.param(("otp",), 0, id="a code alone"),
    ],
)
def test_a_login_that_shows_too_little_makes_none(
    services: Services, alice: Person, proofs: tuple[str, ...], ago: int
) -> None:
    api = log_in(services, alice.username, *proofs, ago=ago)

    response = make(api)

    assert response.status_code == 401
    assert response.json()["amr"] == ["mfa"]
    assert response.json()["max_age"] == 600
    assert api.get(tokens_path(api)).json() == []
    assert not mails_to(services, alice)


def test_who_has_no_second_factor_needs_a_recent_login(services: Services) -> None:
    bob = somebody(services).username

    assert make(log_in(services, bob, "pwd")).status_code == 201
    assert make(log_in(services, bob, "pwd", ago=601), "other").status_code == 401


@pytest.mark.attack(80, 91)
def test_a_token_makes_no_token_and_changes_no_factor(services: Services, alice: Person) -> None:
    secret = made(log_in(services, alice.username, "pwd", "otp"))["token"]
    token = access_token(services, secret)
    client = Client(services)

    here = f"/users/{alice.id}"
    for method, path, body in (
        ("POST", f"{here}/api-tokens", {"name": "another"}),
        ("DELETE", f"{here}/totp", None),
        ("POST", f"{here}/codes", None),
    ):
        response = client.api(method, path, token, body)
        assert response.status_code == 401, path
        assert response.json()["error"] == "insufficient_user_authentication"
    assert client.api("GET", f"{here}/api-tokens", token).status_code == 200


def test_a_session_that_ended_meanwhile_makes_none(services: Services, alice: Person) -> None:
    session = log_in(services, alice.username, "pwd", "otp").session
    acting = Acting(alice.id, session.sid, session.proofs)
    now = int(time.time())
    with writing(services.engine) as connection:
        sessions.end_grant_session(connection, session.sid, Cause(now, alice.id, "session:logout"))

    with pytest.raises(InsufficientAuthentication):
        api_tokens.make(services.engine, acting, Wish("late"), now)


def test_a_session_that_rests_on_a_factor_that_is_gone_makes_none(
    services: Services, alice: Person
) -> None:
    api = log_in(services, alice.username, "pwd", "otp")
    assert api.http.delete(f"/users/{alice.id}/totp").status_code == 204

    assert make(api).status_code == 401


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "a\nb", "\x1b[2J", "\u202eevil"])
def test_a_name_that_could_deceive_is_none(services: Services, alice: Person, name: str) -> None:
    assert make(log_in(services, alice.username, "pwd", "otp"), name).status_code == 400


def test_there_are_no_more_than_a_hundred(
    services: Services, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_tokens, "MAX_TOKENS", 2)
    api = log_in(services, alice.username, "pwd", "otp")
    made(api, "one")
    first = made(api, "two")

    assert make(api, "three").status_code == 409
    api.http.delete(f"{tokens_path(api)}/{first['id']}")
    assert make(api, "three").status_code == 201


def test_others_tokens_are_not_to_be_seen(services: Services, alice: Person) -> None:
    alices = log_in(services, alice.username, "pwd", "otp")
    bobs = log_in(services, somebody(services).username, "pwd")
    token = made(alices)
    one = f"{tokens_path(alices)}/{token['id']}"

    answers = [
        bobs.get(tokens_path(alices)),
        bobs.get(one),
        bobs.http.delete(one),
        bobs.post(tokens_path(alices), {"name": "mine"}),
        bobs.get("/users/nobody/api-tokens"),
    ]

    assert {(one.status_code, one.text) for one in answers} == {(404, answers[0].text)}
    # Nor can one be removed or seen as if it were one's own.
    mine = f"{tokens_path(bobs)}/{token['id']}"
    assert bobs.get(mine).status_code == bobs.http.delete(mine).status_code == 404
    assert is_good(services, access_token(services, token["token"]))


# --- exchanging one -------------------------------------------------------------------------


def test_each_exchange_is_a_session_of_its_own_without_a_refresh_token(
    services: Services, alice: Person
) -> None:
    token = made(log_in(services, alice.username, "pwd", "otp"))

    first, second = (exchange(services, token["token"]) for _ in range(2))

    assert first.status_code == second.status_code == 200
    assert first.json().keys() == {"access_token", "token_type", "expires_in", "scope"}
    claims = [claims_of(one.json()["access_token"]) for one in (first, second)]
    assert claims[0]["sid"] != claims[1]["sid"]
    assert [one["amr"] for one in claims] == [["mfa", "otp", "pwd"]] * 2
    assert claims[0]["sub"] == alice.id
    with reading(services.engine) as connection:
        found = connection.execute(
            select(tables.grant_sessions).where(tables.grant_sessions.c.api_token_id == token["id"])
        ).all()
    assert {one.sid for one in found} == {one["sid"] for one in claims}
    events = [record[1:] for record in records(services.engine) if record[0] == "grant:begin"]
    assert events[-2:] == [(alice.id, one["sid"]) for one in claims]


@pytest.mark.parametrize("asked", [{}, {"scope": "offline_access"}, {"scope": "admin openid"}])
@pytest.mark.attack(91)
def test_a_scope_is_never_widened(services: Services, alice: Person, asked: dict[str, str]) -> None:
    secret = made(log_in(services, alice.username, "pwd", "otp"))["token"]

    answer = exchange(services, secret, **asked).json()

    assert answer["scope"] == ""
    assert "refresh_token" not in answer


@pytest.mark.attack(91)
def test_its_last_use_is_shown(services: Services, alice: Person) -> None:
    api = log_in(services, alice.username, "pwd", "otp")
    token = made(api)

    exchange(services, token["token"])

    (listed,) = api.get(tokens_path(api)).json()
    assert listed["last_used_at"] is not None


@pytest.mark.attack(110, 111)
@pytest.mark.parametrize("via", ["", "device"])
def test_it_has_for_ever_what_the_session_that_made_it_proved_and_when(
    services: Services, alice: Person, via: str
) -> None:
    api = log_in(services, alice.username, "pwd", "otp", ago=300, via=via)
    token = made(api)
    pass_time(services, 40 * 86400)

    claims = claims_of(access_token(services, token["token"]))

    assert claims["auth_time"] == api.session.auth_time - 40 * 86400  # type: ignore[operator]
    assert claims["amr"] == ["mfa", "otp", "pwd"]
    assert claims.get("via", "") == via


@pytest.mark.attack(91)
def test_after_its_time_it_is_none_and_its_sessions_do_not_outlive_it(
    services: Services, alice: Person
) -> None:
    token = made(log_in(services, alice.username, "pwd", "otp"))
    pass_time(services, MAX_LIFETIME - 200)
    last = access_token(services, token["token"])
    with reading(services.engine) as connection:
        session = sessions.live_session(
            connection, claims_of(last)["sid"], int(time.time()), jti=None
        )
    assert session
    assert session.expires_at <= time.time() + 200

    pass_time(services, 200)

    assert not is_good(services, last)
    assert exchange(services, token["token"]).status_code == 400
    assert ("api_token:refuse", alice.id, alice.id) in records(services.engine)


def test_whoever_asks_each_minute_fills_nothing_up(services: Services, alice: Person) -> None:
    secret = made(log_in(services, alice.username, "pwd", "otp"))["token"]
    for _ in range(3):
        exchange(services, secret)
        pass_time(services, 2 * 86400)

    exchange(services, secret)

    with reading(services.engine) as connection:
        kept = connection.execute(
            select(tables.grant_sessions.c.sid).where(
                tables.grant_sessions.c.user_id == alice.id,
                tables.grant_sessions.c.api_token_id.is_not(None),
            )
        ).all()
    assert len(kept) == 1


def test_a_well_formed_token_that_never_was_leaves_no_trace(services: Services) -> None:
    before = records(services.engine)

    response = exchange(services, api_tokens.new_secret())

    assert response.status_code == 400
    assert records(services.engine) == before


# --- elsewhere ------------------------------------------------------------------------------


@pytest.mark.attack(80)
def test_a_token_opens_nothing_itself(services: Services, alice: Person) -> None:
    api = log_in(services, alice.username, "pwd", "otp")
    secret = made(api)["token"]
    client = Client(services)
    http = http_of(services)

    as_access = client.api("GET", "/users/me", secret)
    as_certificate = client.api("POST", "/ssh", secret, {"key": "ssh-ed25519 AAAA"})
    as_refresh = client.refresh(secret)
    as_code = client.exchange(secret)
    as_cookie = http.get("/security", headers={"cookie": f"amrgate={secret}"})
    revoked = http.post("/oauth2/revoke", data={"client_id": "amrgate", "token": secret})

    assert as_access.status_code == as_certificate.status_code == 401
    assert as_refresh.status_code == as_code.status_code == 400
    assert as_cookie.status_code == 303
    assert as_cookie.headers["location"].startswith("/login")
    assert revoked.status_code == 200  # as for everything that is no token of its kind
    assert is_good(services, access_token(services, secret))


@pytest.mark.attack(80)
def test_other_tokens_are_no_api_tokens(services: Services, alice: Person) -> None:
    client, browser = Client(services), Browser(services)
    code = client.log_in(browser, alice)
    tokens = Client(services).tokens(alice)

    for other in (tokens["access_token"], tokens["refresh_token"], code, browser.cookie):
        assert exchange(services, other).json()["error"] == "invalid_grant"


@pytest.mark.attack(91)
def test_nothing_of_a_token_is_in_the_audit_log(services: Services, alice: Person) -> None:
    api = log_in(services, alice.username, "pwd", "otp")
    token = made(api)
    exchange(services, token["token"])
    api.http.delete(f"{tokens_path(api)}/{token['id']}")
    exchange(services, token["token"])

    with reading(services.engine) as connection:
        details = connection.execute(select(tables.audit_records.c.detail)).scalars().all()
    text = "\n".join(details)
    assert token["id"] in text
    assert token["token"] not in text
    assert hash_of(token["token"]) not in text


@pytest.mark.attack(80)
def test_a_token_is_no_password(services: Services, alice: Person) -> None:
    secret = made(log_in(services, alice.username, "pwd", "otp"))["token"]
    browser = Browser(services)

    page = browser.log_in(browser.get("/login"), alice, secret)

    assert "do not belong together" in page.text

"""Access tokens: no other kind of token, and no forged one, stands for one."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ca.errors import NotAuthenticated
from ca.identity.proofs import Proof
from ca.keys.token import Before, TokenKey
from ca.oauth import tokens
from ca.store.sessions import GrantSession
from tests.oauth import is_good
from tests.web import ISSUER, Browser, Client, add_person, keyring, user_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.services import Services

NOW = 1_800_000_000
KEY = keyring().token


# --- how tokens are sent, and answered -------------------------------------------------------


@pytest.mark.attack(93)
def test_a_token_in_a_url_opens_nothing(services: Services) -> None:
    client = Client(services)
    given = client.tokens(add_person(services, "alice"))
    http = Browser(services).http
    answer = http.get("/users/me", params={"access_token": given["access_token"]})
    assert answer.status_code == 401
    query = {
        "grant_type": "refresh_token",
        "refresh_token": given["refresh_token"],
        "client_id": "amrgate",
    }
    assert http.post("/oauth2/token", params=query).status_code == 400
    assert http.post("/oauth2/token", params=query, data={"client_id": "amrgate"}).json() != {}
    assert client.refresh(given["refresh_token"]).status_code == 200


@pytest.mark.attack(112)
def test_no_other_site_reads_an_answer(services: Services) -> None:
    http = Browser(services).http
    for origin in ("https://evil.example", "null", ISSUER):
        headers = {"origin": origin, "access-control-request-method": "POST"}
        for answer in (
            http.options("/oauth2/token", headers=headers),
            http.post("/oauth2/token", headers=headers, data={"client_id": "amrgate"}),
            http.get("/users/me", headers=headers),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_answers_with_tokens_are_not_kept(services: Services) -> None:
    client = Client(services)
    code = client.log_in(Browser(services), add_person(services, "alice"))
    assert client.exchange(code).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "multipart/form-data"])
def test_tokens_are_asked_for_by_a_form(services: Services, media_type: str) -> None:
    answer = Browser(services).http.post(
        "/oauth2/token",
        content=b"grant_type=refresh_token&client_id=amrgate",
        headers={"content-type": media_type},
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


# --- forged access tokens -------------------------------------------------------------------

CLAIMS = {
    "iss": ISSUER,
    "aud": ISSUER,
    "sub": "7d2b0000-0000-4000-8000-000000000000",
    "exp": NOW + 900,
    "iat": NOW,
    "jti": "j",
    "client_id": "amrgate",
    "scope": "",
    "sid": "s",
    "amr": ["pwd"],
    "auth_time": NOW,
}
HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": tokens.key_id(KEY.private_key.public_key())}


def _nobody() -> Any:
    from ca.store.people import User

    return User(CLAIMS["sub"], "n", "n@acme.example", "N", "person", disabled=False)  # type: ignore[arg-type]  # a text


def segment(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(
    header: object = HEADER, claims: object = CLAIMS, key: Ed25519PrivateKey = KEY.private_key
) -> str:
    text = f"{segment(header)}.{segment(claims)}"
    return f"{text}.{segment(key.sign(text.encode()))}"


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def test_the_forger_could_make_a_good_one() -> None:
    assert tokens.verify_access_token(KEY, ISSUER, signed(), NOW).jti == "j"


def test_a_token_is_plain_base64_too() -> None:
    session = GrantSession(
        "sid", "handle", _nobody(), "", "amrgate", "offline_access", (), "device", NOW + 1
    )
    issued = tokens.issue_access_token(KEY, ISSUER, session, NOW)
    base64.b64decode(issued.split(".")[1] + "===", validate=False)
    assert not {"-", "_"} & set(issued.split(".")[1])


def test_what_is_issued_is_what_others_read() -> None:
    proofs = (Proof("pwd", NOW - 50), Proof("otp", NOW - 20))
    session = GrantSession(
        "sid", "handle", _nobody(), "", "client", "offline_access", proofs, "device", NOW + 1
    )
    issued = tokens.issue_access_token(KEY, ISSUER, session, NOW)
    header, claims = (
        json.loads(base64.urlsafe_b64decode(f"{part}==")) for part in issued.split(".")[:2]
    )
    jti = claims.pop("jti")

    assert header == HEADER
    assert claims == {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": CLAIMS["sub"],
        "exp": NOW + 900,
        "iat": NOW,
        "client_id": "client",
        "scope": "offline_access",
        "sid": "sid",
        "amr": ["mfa", "otp", "pwd"],
        "auth_time": NOW - 50,
        "via": "device",
    }
    assert str(uuid.UUID(jti)) == jti
    assert tokens.verify_access_token(KEY, ISSUER, issued, NOW) == tokens.AccessToken(
        sub=str(CLAIMS["sub"]),
        sid="sid",
        client_id="client",
        scope="offline_access",
        amr=frozenset({"pwd", "otp", "mfa"}),
        auth_time=NOW - 50,
        via="device",
        jti=jti,
        iat=NOW,
        exp=NOW + 900,
    )


def test_a_token_of_whoever_proved_nothing() -> None:
    session = GrantSession("sid", "handle", _nobody(), "", "client", "", (), "", NOW + 1)
    issued = tokens.issue_access_token(KEY, ISSUER, session, NOW)
    claims = json.loads(base64.urlsafe_b64decode(f"{issued.split('.')[1]}=="))
    assert not {"auth_time", "via"} & set(claims)
    read = tokens.verify_access_token(KEY, ISSUER, issued, NOW)
    assert (read.amr, read.auth_time, read.via) == (frozenset(), None, "")


def test_the_longest_token_that_is_read() -> None:
    longest = [
        token
        for filling in range(2500, 3000)
        if len(token := signed(claims={**CLAIMS, "x": "x" * filling})) == tokens.MAX_LENGTH
    ]
    assert tokens.verify_access_token(KEY, ISSUER, longest[0], NOW).jti == "j"


def test_the_thumbprint_of_the_rfc() -> None:
    """RFC 8037, appendix A.3."""
    x = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    known = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert tokens.key_id(Ed25519PublicKey.from_public_bytes(x)) == known


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        ("too long", "long"),
        ("an ID token's type", "another kind"),
        ("b64 alone", "an extension"),
        ("auth_time a text", "the claims"),
        ("amr a text", "the claims"),
    ],
)
def test_the_cause_says_why(forged: str, why: str) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        tokens.verify_access_token(KEY, ISSUER, FORGED[forged](), NOW)
    assert why in str(refused.value.__cause__)


def test_the_published_key() -> None:
    published = {"kid": tokens.key_id(EVIL.public_key()), "use": "sig", "alg": "EdDSA"}
    assert tokens.jwks(TokenKey(EVIL), NOW) == {"keys": [published | _public_members(EVIL)]}


def _public_members(key: Ed25519PrivateKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": segment(key.public_key().public_bytes_raw())}


def _hmac_signed() -> str:
    import hashlib
    import hmac

    text = f"{segment({**HEADER, 'alg': 'HS256'})}.{segment(CLAIMS)}"
    secret = KEY.private_key.public_key().public_bytes_raw()
    return f"{text}.{segment(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


EVIL = Ed25519PrivateKey.generate()
FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: f"{segment({**HEADER, 'alg': 'none'})}.{segment(CLAIMS)}.",
    "alg None, signed": lambda: signed({**HEADER, "alg": "None"}),
    "alg nOnE, signed": lambda: signed({**HEADER, "alg": "nOnE"}),
    "alg missing": lambda: signed(without(HEADER, "alg")),
    "signature empty": lambda: signed().rpartition(".")[0] + ".",
    "signature missing": lambda: signed().rpartition(".")[0],
    "HS256 with our public key": _hmac_signed,
    "another key": lambda: signed(key=EVIL),
    "jwk in the header": lambda: signed({**HEADER, "jwk": _public_members(EVIL)}, key=EVIL),
    "jku in the header": lambda: signed({**HEADER, "jku": "http://127.0.0.1:1/k"}, key=EVIL),
    "x5u in the header": lambda: signed({**HEADER, "x5u": "http://127.0.0.1:1/k"}, key=EVIL),
    "x5c in the header": lambda: signed({**HEADER, "x5c": ["AAAA"]}, key=EVIL),
    "another kid": lambda: signed({**HEADER, "kid": "../../dev/null"}),
    "crit unknown": lambda: signed({**HEADER, "crit": ["x"], "x": 1}),
    "b64 false": lambda: signed({**HEADER, "crit": ["b64"], "b64": False}),
    "b64 alone": lambda: signed({**HEADER, "b64": True}),
    "an ID token's type": lambda: signed({**HEADER, "typ": "JWT"}),
    "JSON serialization": lambda: json.dumps(
        {"payload": segment(CLAIMS), "protected": segment(HEADER), "signature": "AA"}
    ),
    "two signatures": lambda: f"{signed()}.{signed().rpartition('.')[2]}",
    "a token in a token": lambda: signed(claims=signed().encode()),
    "aud missing": lambda: signed(claims=without(CLAIMS, "aud")),
    "aud another": lambda: signed(claims={**CLAIMS, "aud": "https://other"}),
    "aud ours and another": lambda: signed(claims={**CLAIMS, "aud": [ISSUER, "https://other"]}),
    "iss another": lambda: signed(claims={**CLAIMS, "iss": "https://other"}),
    "expired": lambda: signed(claims={**CLAIMS, "exp": NOW}),
    "exp a text": lambda: signed(claims={**CLAIMS, "exp": "tomorrow"}),
    "iat a text": lambda: signed(claims={**CLAIMS, "iat": "now"}),
    "exp missing": lambda: signed(claims=without(CLAIMS, "exp")),
    "sid missing": lambda: signed(claims=without(CLAIMS, "sid")),
    "jti a number": lambda: signed(claims={**CLAIMS, "jti": 1}),
    "amr a text": lambda: signed(claims={**CLAIMS, "amr": "mfa"}),
    "auth_time a text": lambda: signed(claims={**CLAIMS, "auth_time": "now"}),
    "claims a list": lambda: signed(claims=[CLAIMS]),
    "too long": lambda: signed(claims={**CLAIMS, "x": "x" * 4096}),
    "lists in lists": lambda: f"{segment(b'[' * 2000)}.{segment(CLAIMS)}.AA",
    "nothing": lambda: "",
    "not ASCII": lambda: "é.é.é",
}


@pytest.mark.attack(81, 83, 85, 86, 88)
@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_token_is_refused(forged: str) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        tokens.verify_access_token(KEY, ISSUER, FORGED[forged](), NOW)
    assert refused.value.message == tokens.NOT_VALID  # which of them it is, nobody learns


@pytest.mark.attack(81, 83, 85)
def test_a_token_that_was_good_is_good_for_nothing_else() -> None:
    """Verified tokens are remembered: by their whole text, the key and the issuer."""
    token = signed()
    for _ in range(2):
        assert tokens.verify_access_token(KEY, ISSUER, token, NOW + 899).sub == CLAIMS["sub"]
    changed = signed(claims={**CLAIMS, "sub": "another"}).split(".")
    header, claims, signature = token.split(".")
    last = "B" if signature[0] == "A" else "A"
    for other in (
        f"{header}.{changed[1]}.{signature}",
        f"{header}.{claims}.{changed[2]}",
        f"{header}.{claims}.{last}{signature[1:]}",
        f"{token} ",
    ):
        with pytest.raises(NotAuthenticated):
            tokens.verify_access_token(KEY, ISSUER, other, NOW)
    with pytest.raises(NotAuthenticated):
        tokens.verify_access_token(TokenKey(EVIL), ISSUER, token, NOW)
    with pytest.raises(NotAuthenticated):
        tokens.verify_access_token(KEY, "https://other", token, NOW)
    with pytest.raises(NotAuthenticated):
        tokens.verify_access_token(KEY, ISSUER, token, NOW + 900)


@pytest.mark.attack(92)
def test_a_token_outlives_its_key_until_that_ends() -> None:
    old, until = KEY.private_key.public_key(), NOW + 600
    new = TokenKey(Ed25519PrivateKey.generate(), Before(old, until))
    assert tokens.verify_access_token(new, ISSUER, signed(), until - 1).jti == "j"
    with pytest.raises(NotAuthenticated):
        tokens.verify_access_token(new, ISSUER, signed(), until)
    with pytest.raises(NotAuthenticated):
        tokens.verify_access_token(new, ISSUER, signed(key=EVIL), NOW)
    with pytest.raises(NotAuthenticated):
        tokens.verify_access_token(TokenKey(new.private_key), ISSUER, signed(), NOW)
    ours = [tokens.key_id(new.private_key.public_key()), HEADER["kid"]]
    assert {key["kid"] for key in tokens.jwks(new, until - 1)["keys"]} == set(ours)
    assert [key["kid"] for key in tokens.jwks(new, until)["keys"]] == ours[:1]


@pytest.mark.attack(86)
def test_claims_that_stand_twice_are_refused() -> None:
    text = json.dumps(CLAIMS)[:-1] + ', "sub": "another"}'
    with pytest.raises(NotAuthenticated):
        tokens.verify_access_token(KEY, ISSUER, signed(claims=text.encode()), NOW)


@pytest.mark.attack(90)
def test_a_disabled_user_loses_everything_at_once(services: Services) -> None:
    from sqlalchemy import update

    from ca.store.engine import writing
    from ca.store.tables import users

    client, browser = Client(services), Browser(services)
    alice = add_person(services, "alice")
    code = client.log_in(browser, alice)
    given = client.tokens(alice)
    with writing(services.engine) as connection:
        connection.execute(update(users).values(disabled_at=1))
    assert user_of(services, alice).disabled
    assert not is_good(services, given["access_token"])
    assert client.refresh(given["refresh_token"]).status_code == 400
    assert client.exchange(code).status_code == 400
    assert 'action="/login"' in browser.get("/security").text

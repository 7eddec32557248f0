"""What a key says: taken to the letter, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.identity import ceremony
from ca.identity.ceremony import NewKey, NotSound, Seen, Site
from ca.store.people import User
from ca.store.webauthn import Held, Key
from tests.authenticator import (
    BACKED_UP,
    EDDSA,
    ELIGIBLE,
    ES256,
    PRESENT,
    RS256,
    VERIFIED,
    Authenticator,
    encoded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SITE = Site("https://ca.acme.example", "ca.acme.example")
ALICE = User("1", "alice", "alice@acme.example", "Alice", "person", disabled=False)
HANDLE = secrets.token_bytes(32)
CHALLENGE = secrets.token_bytes(32)
OFFER = ceremony.offer(SITE, CHALLENGE, ALICE, HANDLE, ())
QUESTION = ceremony.question(SITE, CHALLENGE, ())


def authenticator(**changed: Any) -> Authenticator:
    return Authenticator(SITE.origin, SITE.host, **changed)


def held(made: NewKey) -> Held:
    key = Key(
        id="1",
        user_id=ALICE.id,
        credential_id=made.credential_id,
        public_key=made.public_key,
        sign_count=made.sign_count,
        backup_eligible=made.backup_eligible,
        backed_up=made.backed_up,
        transports=made.transports,
        name="a key",
        created_at=1,
    )
    return Held(key, ALICE, HANDLE)


def registered(key: Authenticator) -> Held:
    return held(ceremony.read_new(SITE, CHALLENGE, key.create(OFFER)))


def use(known: Held, key: Authenticator) -> Seen:
    return ceremony.read_use(SITE, known, CHALLENGE, key.get(QUESTION))


@pytest.mark.parametrize("algorithm", [EDDSA, ES256, RS256])
def test_a_key_is_made_and_used(algorithm: int) -> None:
    key = authenticator(algorithm=algorithm)
    known = registered(key)
    assert known.key.credential_id == key.id
    assert known.key.transports == ("usb",)
    assert use(known, key) == Seen(1, backed_up=False, verified=True, names_person=True)


@pytest.mark.attack(133)
@pytest.mark.parametrize("verified", [0, VERIFIED])
@pytest.mark.parametrize(
    ("backup", "amr"), [(0, "hwk"), (ELIGIBLE, "swk"), (ELIGIBLE | BACKED_UP, "swk")]
)
def test_flags_say_what_a_use_is(backup: int, amr: str, verified: int) -> None:
    key = authenticator(flags=PRESENT | backup | verified)
    known = registered(key)
    seen = use(known, key)
    assert known.key.amr == amr
    assert known.key.backed_up is seen.backed_up is bool(backup & BACKED_UP)
    assert seen.verified is bool(verified)


@pytest.mark.attack(133)
@pytest.mark.parametrize("flags", [0, VERIFIED, PRESENT | BACKED_UP, VERIFIED | ELIGIBLE])
def test_nobody_present_or_a_copy_of_what_cannot_be_copied(flags: int) -> None:
    key = authenticator()
    known = registered(key)
    key.flags = flags
    with pytest.raises(NotSound):
        use(known, key)
    with pytest.raises(NotSound):
        registered(key)


@pytest.mark.attack(133)
@pytest.mark.parametrize("before", [0, ELIGIBLE])
def test_a_key_does_not_change_its_kind(before: int) -> None:
    key = authenticator(flags=PRESENT | before)
    known = registered(key)
    key.flags = PRESENT | (before ^ ELIGIBLE)
    with pytest.raises(NotSound):
        use(known, key)


def test_a_key_may_be_backed_up_later() -> None:
    key = authenticator(flags=PRESENT | ELIGIBLE)
    known = registered(key)
    key.flags |= BACKED_UP
    assert use(known, key).backed_up


OTHER = encoded(secrets.token_bytes(32))

WRONG: dict[str, Callable[[Authenticator], None]] = {
    "another origin": lambda key: setattr(key, "origin", "https://evil.example"),
    "a neighbour": lambda key: setattr(key, "origin", "https://x.ca.acme.example"),
    "the domain above": lambda key: setattr(key, "origin", "https://acme.example"),
    "another port": lambda key: setattr(key, "origin", "https://ca.acme.example:8443"),
    "without TLS": lambda key: setattr(key, "origin", "http://ca.acme.example"),
    "a name that begins like ours": lambda key: setattr(key, "origin", f"{SITE.origin}.evil"),
    "another host": lambda key: setattr(key, "host", "evil.example"),
    "the host above": lambda key: setattr(key, "host", "acme.example"),
    "another challenge": lambda key: key.said.update(challenge=OTHER),
    "no challenge": lambda key: key.said.update(challenge=""),
    "another type": lambda key: key.said.update(type="payment.get"),
    "a frame": lambda key: key.said.update(crossOrigin=True),
    "a frame, in words": lambda key: key.said.update(crossOrigin="false"),
    "a frame in": lambda key: key.said.update(topOrigin="https://evil.example"),
    "no origin": lambda key: key.said.update(origin=None),
}


@pytest.mark.attack(132)
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_an_answer_to_anything_else_does_not_count(wrong: Callable[[Authenticator], None]) -> None:
    key = authenticator()
    known = registered(key)
    wrong(key)
    with pytest.raises(NotSound):
        use(known, key)
    with pytest.raises(NotSound):
        registered(key)


@pytest.mark.attack(132)
def test_making_and_using_a_key_are_not_taken_for_each_other() -> None:
    key = authenticator()
    known = registered(key)
    key.said["type"] = "webauthn.create"
    with pytest.raises(NotSound):
        use(known, key)
    key.said["type"] = "webauthn.get"
    with pytest.raises(NotSound):
        registered(key)


@pytest.mark.attack(132)
def test_a_challenge_beside_the_signed_one_is_not_looked_at() -> None:
    key = authenticator()
    known = registered(key)
    key.said["challenge"] = OTHER
    answer = key.get(QUESTION, challenge=encoded(CHALLENGE))
    with pytest.raises(NotSound):
        ceremony.read_use(SITE, known, CHALLENGE, answer)


@pytest.mark.attack(134)
def test_only_the_key_itself_answers_for_it() -> None:
    key = authenticator()
    known = registered(key)
    with pytest.raises(NotSound):
        use(known, replace(key, _key=authenticator().key))
    with pytest.raises(NotSound):
        use(known, replace(key, handle=b"another person"))
    changed = known.key.credential_id[:-1] + b"\0"
    with pytest.raises(NotSound):
        use(registered(replace(key, id=changed, _key=authenticator().key)), key)


def test_an_old_security_key_does_not_name_its_person() -> None:
    key = authenticator()
    known = registered(key)
    assert not use(known, replace(key, handle=None)).names_person


def with_cose(**changed: Any) -> Callable[[Authenticator], str]:
    """A new key whose public key is changed; None leaves a part out."""

    def create(key: Authenticator) -> str:
        parts = {"alg": 3, "crv": -1, "x": -2, "y": -3, "kty": 1}
        cose = key.cose() | {parts[name]: value for name, value in changed.items()}
        data = cbor2.dumps({name: value for name, value in cose.items() if value is not None})
        return key.create(OFFER, authData=key.attested(data))

    return create


def another_curve(key: Authenticator) -> str:
    numbers = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
    x, y = (one.to_bytes(48, "big") for one in (numbers.x, numbers.y))
    return with_cose(crv=2, x=x, y=y)(key)


def short_key(key: Authenticator) -> str:
    short = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    cose = {1: 3, 3: RS256, -1: short.n.to_bytes(128, "big"), -2: b"\1\0\1"}
    return key.create(OFFER, authData=key.attested(cbor2.dumps(cose)))


def duplicate_key(key: Authenticator) -> str:
    cose = cbor2.dumps(key.cose())
    twice = bytes([cose[0] + 1]) + cose[1:] + cbor2.dumps(3) + cbor2.dumps(ES256)
    return key.create(OFFER, authData=key.attested(twice))


GARBAGE: dict[str, Callable[[Authenticator], str]] = {
    "an algorithm that was not asked": with_cose(alg=-35),
    "an algorithm that does not fit": with_cose(alg=EDDSA),
    "another curve": another_curve,
    "a short RSA key": short_key,
    "no algorithm": with_cose(alg=None),
    "a point on no curve": with_cose(y=bytes(32)),
    "half a point": with_cose(y=None),
    "a curve that nobody knows": with_cose(crv=99),
    "the public key's names twice": duplicate_key,
    "no attestation of ours": lambda key: key.create(OFFER, fmt="tpm"),
    "an attestation that nobody knows": lambda key: key.create(OFFER, fmt="none at all"),
    "a format that is no text": lambda key: key.create(OFFER, fmt=7),
    "none, with a signature": lambda key: key.create(OFFER, attStmt={"sig": b"x"}),
    "a signature of nobody": lambda key: key.create(
        OFFER, fmt="packed", attStmt={"alg": ES256, "sig": b"garbage"}
    ),
    "a certificate": lambda key: key.create(
        OFFER, fmt="packed", attStmt={"alg": ES256, "sig": b"garbage", "x5c": [b"garbage"]}
    ),
    "no key in it": lambda key: key.create(OFFER, authData=key.seen(PRESENT)),
    "cut off": lambda key: key.create(OFFER, authData=key.attested()[:-5]),
    "something after it": lambda key: key.create(OFFER, authData=key.attested() + b"\0"),
    "no data": lambda key: key.create(OFFER, authData=None),
    "an empty id": lambda key: replace(key, id=b"").create(OFFER),
    "an id that is too long": lambda key: replace(key, id=bytes(1024)).create(OFFER),
    "a megabyte": lambda key: key.create(OFFER, attStmt={"a": bytes(1 << 20)}),
    "another id outside": lambda key: key.create(OFFER).replace('"rawId": "', '"rawId": "AAAA'),
    "no JSON": lambda key: key.create(OFFER)[:-1],
    "a list": lambda _key: "[]",
    "nothing": lambda _key: "",
    "deep JSON": lambda _key: "[" * 9000,
    "half a character": lambda _key: '{"id":"\\ud800"}',
}


@pytest.mark.attack(134)
@pytest.mark.parametrize("make", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_no_key_is_refused(make: Callable[[Authenticator], str]) -> None:
    with pytest.raises(NotSound):
        ceremony.read_new(SITE, CHALLENGE, make(authenticator()))


def maker() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """The key with which a maker of keys vouches for them, and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = {
        NameOID.COUNTRY_NAME: "AA",
        NameOID.ORGANIZATION_NAME: "A maker",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "Authenticator Attestation",
        NameOID.COMMON_NAME: "A batch of keys",
    }
    name = x509.Name([x509.NameAttribute(oid, text) for oid, text in names.items()])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, built.public_bytes(Encoding.DER)


def test_a_key_may_vouch_for_itself_and_its_maker_is_not_heard() -> None:
    key = authenticator()
    signed = (
        key.attested()
        + hashlib.sha256(key.client_data("webauthn.create", encoded(CHALLENGE))).digest()
    )
    own = {"alg": ES256, "sig": key.sign(signed)}
    made = ceremony.read_new(SITE, CHALLENGE, key.create(OFFER, fmt="packed", attStmt=own))
    assert made.credential_id == key.id

    private, certificate = maker()
    signature = private.sign(signed, ec.ECDSA(hashes.SHA256()))
    others = {"alg": ES256, "sig": signature, "x5c": [certificate]}
    with pytest.raises(NotSound) as refused:
        ceremony.read_new(SITE, CHALLENGE, key.create(OFFER, fmt="packed", attStmt=others))
    assert "certificates" in str(refused.value.__cause__)


@pytest.mark.attack(134)
def test_an_answer_of_a_megabyte_is_not_looked_at() -> None:
    key = authenticator()
    known = registered(key)
    answer = json.loads(key.get(QUESTION))
    for length, taken in ((100, True), (1 << 20, False)):
        padded = json.dumps(answer | {"padding": "A" * length})
        try:
            ceremony.read_use(SITE, known, CHALLENGE, padded)
        except NotSound:
            assert not taken
        else:
            assert taken
    with pytest.raises(NotSound):
        ceremony.id_of(padded)


USED = authenticator()
KNOWN = registered(USED)
GOOD = USED.get(QUESTION)
MADE = USED.create(OFFER)


@pytest.mark.attack(134)
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_answer_is_never_taken(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(GOOD) - 1))
    letter = data.draw(st.sampled_from('AZaz09-_"{}[]:,\\ \0'))
    changed = GOOD[:place] + letter + GOOD[place + 1 :]
    try:
        seen = ceremony.read_use(SITE, KNOWN, CHALLENGE, changed)
    except NotSound:
        return
    # Spare bits of base64, blanks, and names that nobody reads may change.
    assert seen in (use(KNOWN, USED), use(KNOWN, replace(USED, handle=None)))


@pytest.mark.attack(134)
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_attestation_is_taken_or_refused(attested: bytes) -> None:
    answer = USED.answer(
        {
            "clientDataJSON": encoded(USED.client_data("webauthn.create", encoded(CHALLENGE))),
            "attestationObject": encoded(attested),
        }
    )
    with pytest.raises(NotSound):
        ceremony.read_new(SITE, CHALLENGE, answer)


@pytest.mark.parametrize(
    ("issuer", "host"),
    [
        ("https://ca.acme.example", "ca.acme.example"),
        ("https://ca.acme.example:8443", "ca.acme.example"),
        ("http://localhost:8080", "localhost"),
        ("http://127.0.0.1:8080", None),
        ("https://[::1]:8080", None),
    ],
)
def test_keys_belong_to_a_host_name(issuer: str, host: str | None) -> None:
    assert ceremony.site_of(issuer) == (None if host is None else Site(issuer, host))

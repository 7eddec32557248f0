"""What passes between us and a key (WebAuthn Level 3). Pure: the `webauthn` library checks it.

What the library passes over, or leaves to whoever uses it, is checked here as well.
"""

import json
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import webauthn as library
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    parse_attestation_object,
    parse_authentication_credential_json,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from ca.store.people import User
from ca.store.webauthn import Held, Key

LIFETIME = 600  # seconds from the question to the answer
MAX_CREDENTIAL = 16384  # characters of JSON
MAX_ID = 1023  # bytes (section 7.1)
MIN_RSA = 2048  # bits

ALGORITHMS = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,  # all that many a TPM can do
]

# We ask for no attestation. Browsers may still pass on a key's signature over itself.
ATTESTATIONS = frozenset({AttestationFormat.NONE, AttestationFormat.PACKED})


class NotSound(ValueError):
    """What a browser sent does not count; the cause says why, for whoever debugs."""


@dataclass(frozen=True)
class Site:
    """Where keys are used: pages of exactly this origin. `host` is the relying party's id."""

    origin: str
    host: str


@dataclass(frozen=True)
class NewKey:
    """What a key says of itself when it is added."""

    credential_id: bytes
    public_key: bytes  # COSE (RFC 9052)
    sign_count: int
    backup_eligible: bool
    backed_up: bool
    transports: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What a key says when it is used; `verified` is whether it knew its person, by PIN or body."""

    sign_count: int
    backed_up: bool
    verified: bool
    names_person: bool


def site_of(issuer: str) -> Site | None:
    """Where keys are used; None under an IP address, for which browsers have none."""
    host = urlsplit(issuer).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return Site(issuer, host)
    return None


def question(site: Site, challenge: bytes, keys: tuple[Key, ...]) -> str:
    """The browser's options, to use one of `keys`; without any, one that knows its person."""
    options = library.generate_authentication_options(
        rp_id=site.host,
        challenge=challenge,
        timeout=LIFETIME * 1000,
        allow_credentials=_descriptors(keys),
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return library.options_to_json(options)


def offer(site: Site, challenge: bytes, user: User, handle: bytes, keys: tuple[Key, ...]) -> str:
    """The browser's options, to make a key for `user`, who has `keys`."""
    options = library.generate_registration_options(
        rp_id=site.host,
        rp_name=site.host,
        user_id=handle,
        user_name=user.username,
        user_display_name=user.name,
        challenge=challenge,
        timeout=LIFETIME * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=_descriptors(keys),
        supported_pub_key_algs=ALGORITHMS,
    )
    return library.options_to_json(options)


def id_of(credential: str) -> bytes:
    """The id of the key that is said to have answered.

    Raises:
        NotSound: there is none.
    """
    try:
        return parse_authentication_credential_json(_bounded(credential)).raw_id
    except Exception as error:  # whatever the library stumbles over does not count
        raise NotSound from error


def read_use(site: Site, held: Held, challenge: bytes, credential: str) -> Seen:
    """What the key in `held` says in answer to `challenge`.

    Raises:
        NotSound: it is not this key, this question, or a page of ours.
    """
    key = held.key
    try:
        parsed = parse_authentication_credential_json(_bounded(credential))
        verified = library.verify_authentication_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            credential_public_key=key.public_key,
            credential_current_sign_count=0,  # it would refuse a count that fell: we flag it
        )
        _check_page(parsed.response.client_data_json)
        handle = parsed.response.user_handle
        # Neither ever changes (section 7.2, steps 6 and 19): this would be another key.
        _check(handle in (None, held.handle), "another person's key")
        _check(key.backup_eligible is _may_be_backed_up(verified), "another kind of key")
    except Exception as error:  # whatever the library stumbles over does not count
        raise NotSound from error
    return Seen(
        sign_count=verified.new_sign_count,
        backed_up=verified.credential_backed_up,
        verified=verified.user_verified,
        names_person=handle is not None,
    )


def read_new(site: Site, challenge: bytes, credential: str) -> NewKey:
    """The key that was made in answer to `challenge`.

    Raises:
        NotSound: it is none that we take, or not for this question or a page of ours.
    """
    try:
        parsed = parse_registration_credential_json(_bounded(credential))
        # Read first, so that the library never gets to certificates: we ask for none.
        attested = parse_attestation_object(parsed.response.attestation_object)
        _check(attested.fmt in ATTESTATIONS, "an attestation of another kind")
        _check(attested.att_stmt.x5c is None, "an attestation with certificates")
        verified = library.verify_registration_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            supported_pub_key_algs=ALGORITHMS,
        )
        _check_page(parsed.response.client_data_json)
        _check(len(verified.credential_id) <= MAX_ID, "an id that is too long")
        _check_public_key(verified.credential_public_key)
    except Exception as error:  # whatever the library stumbles over is no key
        raise NotSound from error
    return NewKey(
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        backup_eligible=_may_be_backed_up(verified),
        backed_up=verified.credential_backed_up,
        transports=tuple(sorted({one.value for one in parsed.response.transports or ()})),
    )


def _check(good: bool, fault: str) -> None:  # noqa: FBT001 -- what is checked
    if not good:
        raise NotSound(fault)


def _check_page(client_data: bytes) -> None:
    """Refuse what was asked in a frame of another site (section 7.2, steps 13 and 14)."""
    said: dict[str, Any] = json.loads(client_data)
    _check(said.get("crossOrigin", False) is False, "a frame")
    _check("topOrigin" not in said, "a frame")


def _check_public_key(cose: bytes) -> None:
    """Refuse a key that does not fit its algorithm, which the library sees only at the first use.

    Section 5.8.5: ES256 is with P-256, EdDSA with Ed25519.
    """
    said = decode_credential_public_key(cose)
    key = decoded_public_key_to_cryptography(said)
    fits = {
        COSEAlgorithmIdentifier.EDDSA: isinstance(key, Ed25519PublicKey),
        COSEAlgorithmIdentifier.ECDSA_SHA_256: (
            isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
        ),
        COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256: (
            isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA
        ),
    }
    _check(fits[said.alg], "a key that does not fit its algorithm")


def _bounded(credential: str) -> str:
    _check(len(credential) <= MAX_CREDENTIAL, "too long")
    return credential


def _may_be_backed_up(verified: Any) -> bool:
    kind: CredentialDeviceType = verified.credential_device_type
    return kind is CredentialDeviceType.MULTI_DEVICE


def _descriptors(keys: tuple[Key, ...]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(
            id=key.credential_id,
            transports=[AuthenticatorTransport(one) for one in key.transports],
        )
        for key in keys
    ]

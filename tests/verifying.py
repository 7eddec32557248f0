"""The verifying path as tests ask it: what it reads, and why it refuses."""

from __future__ import annotations

import pytest

from ca.errors import NotAuthenticated
from ca.issuance.verify import verify_certificate
from sshd_hook.certificate import KEY_TYPES, Certificate
from tests.certificates import Authority, authority, user_certificate

CA_TYPES = KEY_TYPES[:5]
ORDER = 2**252 + 27742317777372353535851937790883648493


def verify(blob: bytes, state: str = "active", ca: Authority | None = None) -> Certificate:
    return verify_certificate(blob, {(ca or authority()).public_key: state})


def refuse(blob: bytes, why: str, ca: Authority | None = None) -> None:
    with pytest.raises(NotAuthenticated, match=why):
        verify(blob, ca=ca)


def certify(ca: Authority, subject: str = "ssh-ed25519", /, **changes: object) -> bytes:
    return ca.certify(user_certificate(subject, signature_key=ca.public_key, **changes))

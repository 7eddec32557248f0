"""Recovery codes: what stands in for a lost authenticator application. Pure but for the dice."""

import hashlib
import secrets

# Crockford's base32: no letter that could be taken for a digit.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 24  # characters of 5 bits: 120, so that a fast hash will do (ASVS 5.0.0, 6.5.2: 112)
GROUP = 4
COUNT = 10
_ALIKE = str.maketrans("oil", "011", " -")


def new_codes() -> list[str]:
    """A set of new codes, as they are shown: "7k3f-…"."""
    return [_new_code() for _ in range(COUNT)]


def normal(typed: str) -> str:
    """A code as it was meant, however it was typed."""
    return typed.strip().lower().translate(_ALIKE)


def hash_of(user_id: str, code: str) -> str:
    """What is stored of a code."""
    return hashlib.sha256(f"{user_id} {normal(code)}".encode()).hexdigest()


def _new_code() -> str:
    letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return "-".join(letters[at : at + GROUP] for at in range(0, LENGTH, GROUP))

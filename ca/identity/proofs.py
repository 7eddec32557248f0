"""What somebody proved in a login, when, and what that amounts to. Pure.

A session keeps its proofs; `amr` and `auth_time` are always computed from them, never stored.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict

from sshd_hook.policy import POSSESSION

LOGIN = "sso:"
KEYS = frozenset({"hwk", "swk"})


class ProofFields(TypedDict):
    """A proof as the database keeps it."""

    amr: str
    at: int
    verified: bool


@dataclass(frozen=True)
class Proof:
    """One factor that was checked: its `amr` value, and when (seconds since the epoch).

    `verified` is WebAuthn's user verification, which makes one key two kinds of factor. `of` is
    which of the account's factors was checked, known until the proof is stored: it must still be
    there then (`ca.identity.sessions`).
    """

    amr: str
    at: int
    verified: bool = False
    of: str = field(default="", compare=False)


Proofs = tuple[Proof, ...]


def amr_of(proofs: Iterable[Proof]) -> frozenset[str]:
    """The `amr` values: those proved, and `mfa` where knowledge and possession are among them.

    A value that a provider only told us (`sso:<slug>:mfa`) is neither.
    """
    proved = tuple(proofs)
    values = frozenset(proof.amr for proof in proved)
    knowledge = any(_is_knowledge(proof) for proof in proved)
    return values | {"mfa"} if knowledge and not POSSESSION.isdisjoint(values) else values


def auth_time_of(proofs: Iterable[Proof]) -> int | None:
    """The earliest time among them; None for a service user's, which proved nothing."""
    return min((proof.at for proof in proofs), default=None)


def with_proof(proofs: Iterable[Proof], new: Proof) -> Proofs:
    """`proofs` with `new` in the place of an older one of the same factor.

    A key that was only touched does not take the place of one that verified its person.
    """
    kept = (one for one in proofs if one.amr != new.amr or (one.verified and not new.verified))
    return (*kept, new)


def since(proofs: Iterable[Proof], moment: int) -> Proofs:
    """What was proved at `moment` or later."""
    return tuple(proof for proof in proofs if proof.at >= moment)


def providers_in(proofs: Iterable[Proof]) -> set[str]:
    """The slugs of the providers at which some of this was shown."""
    shown = (proof.amr.removeprefix(LOGIN) for proof in proofs if proof.amr.startswith(LOGIN))
    return {rest.partition(":")[0] for rest in shown}


def rests_on(proofs: Iterable[Proof], values: Iterable[str]) -> bool:
    """Whether one of these factors or logins is among them.

    `sso:<slug>` stands also for what its provider told with it.
    """
    names = tuple(values)
    return any(
        proof.amr == value or proof.amr.startswith(f"{value}:")
        for proof in proofs
        for value in names
    )


def to_fields(proofs: Iterable[Proof]) -> list[ProofFields]:
    """The proofs as the database keeps them."""
    return [ProofFields(amr=one.amr, at=one.at, verified=one.verified) for one in proofs]


def from_fields(fields: Iterable[ProofFields]) -> Proofs:
    """Read back what `to_fields` made."""
    return tuple(Proof(**one) for one in fields)


def _is_knowledge(proof: Proof) -> bool:
    return (
        proof.amr == "pwd"
        or (proof.amr.startswith(LOGIN) and proof.amr.count(":") == 1)
        or (proof.amr in POSSESSION and proof.verified)
    )

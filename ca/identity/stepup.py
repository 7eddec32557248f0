"""What a login still has to prove. Pure: the pages show the step, this names it."""

from dataclasses import dataclass
from enum import Enum, auto

from ca.identity.proofs import Proof, Proofs, amr_of, auth_time_of, since

FRESH = 600  # seconds: how recent a login must be to change what one logs in with
CODES = frozenset({"otp", "recovery"})
LOCAL = frozenset({"pwd", "otp", "mfa"})
"""Values that a login here can show."""


class Step(Enum):
    """What comes next in a login."""

    PASSWORD = auto()
    CODE = auto()
    ENROL = auto()  # a second factor is asked for, and the account has none
    UNMET = auto()  # a way to log in is asked for that is not to be had here
    DONE = auto()


@dataclass(frozen=True)
class Ask:
    """What somebody wants a login to show: `amr` values, and nothing proved before `since`."""

    amr: frozenset[str] = frozenset()
    since: int = 0  # seconds since the epoch

    def counted(self, proofs: Proofs) -> Proofs:
        """Those that are recent enough."""
        return since(proofs, self.since)


def next_step(ask: Ask, proofs: Proofs, totp_since: int | None) -> Step:
    """The next step of a login that has shown `proofs`.

    `totp_since` is when the account's authenticator application was confirmed, None without one.
    Whoever has one is asked for its code in every login: a stolen password is not enough.
    """
    counted = ask.counted(proofs)
    if not ask.amr <= LOCAL:
        return Step.UNMET
    password = next((proof for proof in counted if proof.amr == "pwd"), None)
    if password is None or not _may_join(password, totp_since):
        return Step.PASSWORD
    if any(proof.amr in CODES for proof in counted) and "otp" not in ask.amr:
        return Step.DONE
    if totp_since is None:
        return Step.DONE if ask.amr <= {"pwd"} else Step.ENROL
    return Step.DONE if any(proof.amr == "otp" for proof in counted) else Step.CODE


def may_change_factors(proofs: Proofs, now: int, *, has_second_factor: bool) -> bool:
    """Whether a login may add, change or remove what its person logs in with.

    It must be recent, and show two kinds of factor once the account has them: a stolen password
    must not be enough to make `mfa`.
    """
    auth_time = auth_time_of(proofs)
    if auth_time is None or now - auth_time > FRESH:
        return False
    return not has_second_factor or "mfa" in amr_of(proofs)


def _may_join(password: Proof, totp_since: int | None) -> bool:
    # Who stole a session could set up an application of their own in it, and step up with that.
    # So the password has to be proved again after it was set up.
    return totp_since is None or password.at >= totp_since

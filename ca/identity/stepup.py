"""What a login still has to prove. Pure: the pages show the step, this names it."""

from dataclasses import dataclass
from enum import Enum, auto

from ca.identity.proofs import KEYS, LOGIN, Proof, Proofs, amr_of, since
from sshd_hook.policy import POSSESSION

FRESH = 600  # seconds: how recent a login must be to change what one logs in with
SECOND = KEYS | {"otp"}
LOCAL = SECOND | {"pwd", "mfa"}
"""Values that a login can show without a provider."""


class Step(Enum):
    """What comes next in a login."""

    PASSWORD = auto()  # or a provider, or a key that verifies its person: a whole login
    SSO = auto()  # a login at one provider is asked for
    SECOND = auto()
    ENROL = auto()  # a second factor is asked for, and the account has none such
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


@dataclass(frozen=True)
class Second:
    """The second factors of an account: which kinds it has, and since when the oldest of them."""

    kinds: frozenset[str] = frozenset()  # of SECOND
    since: int | None = None


NONE = Second()


def next_step(ask: Ask, proofs: Proofs, second: Second) -> Step:
    """The next step of a login that has shown `proofs`, of an account with `second`.

    Whoever has a second factor is asked for one in every login: a stolen password is not enough.
    """
    counted = ask.counted(proofs)
    shown = amr_of(counted)
    known = {proof.amr for proof in counted if _is_knowledge(proof, second)}
    if not all(value in LOCAL or value.startswith(LOGIN) for value in ask.amr):
        return Step.UNMET
    if logins(ask) - known:
        return Step.SSO
    if "pwd" not in known and ("pwd" in ask.amr or not (known or _is_whole(counted))):
        return Step.PASSWORD
    if not second.kinds:
        return Step.DONE if ask.amr <= shown else Step.ENROL
    missing = (ask.amr & SECOND) - shown
    if missing:
        return Step.SECOND if missing <= second.kinds else Step.ENROL
    return Step.SECOND if POSSESSION.isdisjoint(shown) else Step.DONE


def logins(ask: Ask) -> frozenset[str]:
    """The logins at providers that are asked for, `sso:<slug>`."""
    return frozenset(value for value in ask.amr if value.startswith(LOGIN))


def slug_to_ask(ask: Ask, proofs: Proofs, second: Second) -> str:
    """The slug of the provider that the step SSO leads to."""
    known = {proof.amr for proof in ask.counted(proofs) if _is_knowledge(proof, second)}
    return min(logins(ask) - known).removeprefix(LOGIN)


def earliest(ask: Ask, second: Second) -> int:
    """Since when a password or a login at a provider counts."""
    return max(ask.since, second.since or 0)


def choices(ask: Ask, proofs: Proofs, second: Second) -> frozenset[str]:
    """Which of the account's second factors the step SECOND takes."""
    missing = (ask.amr & SECOND) - amr_of(ask.counted(proofs))
    return missing or second.kinds


def may_change_factors(proofs: Proofs, now: int, *, has_second_factor: bool) -> bool:
    """Whether a login may add, change or remove what its person logs in with.

    What was proved recently counts, and must show two kinds of factor once the account has them:
    a stolen password must not be enough to make `mfa`.
    """
    recent = since(proofs, now - FRESH)
    if not recent:
        return False
    return not has_second_factor or "mfa" in amr_of(recent)


def _is_whole(proofs: Proofs) -> bool:
    """Whether a key among them verified its person: both kinds of factor in one."""
    return any(proof.amr in KEYS and proof.verified for proof in proofs)


def _is_knowledge(proof: Proof, second: Second) -> bool:
    """Whether it is a password or a login at a provider that counts."""
    # Who stole a session could set up a second factor of their own in it, and step up with that.
    # So the password has to be proved again after the first one was set up.
    is_login = proof.amr.startswith(LOGIN) and proof.amr.count(":") == 1
    recent = second.since is None or proof.at >= second.since
    return recent and (proof.amr == "pwd" or is_login)

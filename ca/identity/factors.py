"""Adding and removing what one logs in with, and who may.

Everything here needs a recent login, and one with two kinds of factor once the account has a
second one. It ends every other session of its person, and does not lift the present one.
"""

import hmac
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from ca import audit
from ca.errors import Conflict, Denied, InsufficientAuthentication, InvalidRequest, NotFound
from ca.identity import recovery, totp
from ca.identity.accounts import totp_purpose
from ca.identity.proofs import Proofs, providers_in, since
from ca.identity.stepup import FRESH, Second, may_change_factors
from ca.identity.token_ends import end_tokens_resting_on
from ca.keys import Seal
from ca.store import directory, people, sso, webauthn
from ca.store.api_tokens import lock_owner
from ca.store.engine import reading, writing
from ca.store.revocations import Cause
from ca.store.sessions import end_sessions, has_ended
from ca.store.webauthn import Key


class WrongFirstCode(InvalidRequest):
    """The secret is the one that was offered, but the code is not its."""

    code = "wrong_code"

    def __init__(self) -> None:
        super().__init__(
            "This code does not fit. Check the clock of your device, and type the code that the"
            " app shows now."
        )


@dataclass(frozen=True)
class Acting:
    """Who changes something of their own, in which session, after proving what.

    `by_token` is whether an API token stands for a login in it: then nothing was proved now.
    """

    user_id: str
    session_id: str  # of a browser session, or a grant session's `sid`
    proofs: Proofs
    via: str = ""
    by_token: bool = False


@dataclass(frozen=True)
class Overview:
    """What an account logs in with besides its password."""

    totp_since: int | None
    recovery_codes: int
    keys: tuple[Key, ...] = ()

    @property
    def second(self) -> Second:
        """The second factors, as a login is asked for them."""
        kinds = [(key.amr, key.created_at) for key in self.keys]
        if self.totp_since is not None:
            kinds.append(("otp", self.totp_since))
        since = min((moment for _kind, moment in kinds), default=None)
        return Second(frozenset(kind for kind, _moment in kinds), since)

    @property
    def has_second_factor(self) -> bool:
        """Whether a password alone is not the whole login."""
        return bool(self.second.kinds)


def overview(connection: Connection, user_id: str) -> Overview:
    """What the account has."""
    found = people.find_totp(connection, user_id)
    return Overview(
        totp_since=found.confirmed_at if found else None,
        recovery_codes=people.count_recovery_codes(connection, user_id),
        keys=webauthn.keys_of(connection, user_id),
    )


def check_may_change(connection: Connection, acting: Acting, now: int) -> Overview:
    """What the account has, if this session may change it.

    Whoever runs a provider could otherwise add a factor of their own to the account of somebody
    who is also another organization's, and open that with it: alone, or with a code that the
    provider's own page asked for.

    Raises:
        InsufficientAuthentication: with what a login must show for that.
        Denied: a provider stands in it for a password, and the account has another way in; or an
            API token does.
    """
    refuse_token(acting)
    found = overview(connection, acting.user_id)
    has_second = found.has_second_factor
    if not may_change_factors(acting.proofs, now, has_second_factor=has_second):
        raise InsufficientAuthentication(
            "Log in again to change what you log in with.", ("mfa",) if has_second else (), FRESH
        )
    recent = since(acting.proofs, now - FRESH)
    slugs = providers_in(recent)
    by_us = any(proof.amr == "pwd" or proof.verified for proof in recent)
    if slugs and not by_us and sso.has_another_way_in(connection, acting.user_id, slugs):
        raise Denied(
            "A single sign-on in the place of a password may not change this account, which has"
            " another way to log in. Log in that way first."
        )
    return found


def refuse_token(acting: Acting) -> None:
    """Refuse what takes a login of now.

    Raises:
        Denied: an API token stands for it. To ask for a better login would lead nowhere: another
            token, made after one, is refused as well.
    """
    if acting.by_token:
        raise Denied(
            "An API token may not change what its owner logs in with, make another token or end"
            " other sessions. Log in to do that."
        )


def begin_change(connection: Connection, acting: Acting, now: int) -> Overview:
    """`hold_account`, to change what it logs in with: not from a device's session.

    Whoever had somebody allow a device of theirs could otherwise make a login of their own with
    it, which organizations take that take none by device (docs/decisions/0130).

    Raises:
        InsufficientAuthentication, Denied: as `hold_account`; or the session is a device's.
    """
    found = hold_account(connection, acting, now)
    if acting.via == "device":
        raise Denied(
            "A login by device code may not change what you log in with. Do it in a browser, on the"
            " page /security."
        )
    return found


def hold_account(connection: Connection, acting: Acting, now: int) -> Overview:
    """`check_may_change` in the transaction that makes the change.

    Until it ends, nobody else changes what this account logs in with: of two who may each add the
    first second factor, the second one has to show it. And a request may have waited for seconds,
    for its turn to hash: whoever ended its session meanwhile does not want what it asks.

    Raises:
        InsufficientAuthentication, Denied: as `check_may_change`; or the session was ended.
    """
    lock_owner(connection, acting.user_id)
    found = check_may_change(connection, acting, now)
    if has_ended(connection, acting.session_id):
        amr = ("mfa",) if found.has_second_factor else ()
        raise InsufficientAuthentication("This session was ended. Log in again.", amr, FRESH)
    return found


def offer_totp(engine: Engine, seal: Seal, acting: Acting, now: int) -> str:
    """A new secret for an authenticator application, to be confirmed within ten minutes.

    It is never one that was shown before: somebody else may have seen that.

    Raises:
        InsufficientAuthentication: this session may not.
        Conflict: the account has an application.
    """
    secret = totp.new_secret()
    with writing(engine) as connection:
        _check_has_none(begin_change(connection, acting, now))
        sealed = seal.seal(secret.encode(), _pending_purpose(acting.user_id))
        people.put_enrolment(connection, acting.user_id, sealed, now)
    return secret


def confirm_totp(  # noqa: PLR0913 what was offered, and what was typed
    engine: Engine, seal: Seal, acting: Acting, secret: str, code: str, *, now: int
) -> list[str]:
    """Take the application whose `secret` was offered, and return new recovery codes.

    Raises:
        InsufficientAuthentication: this session may not.
        InvalidRequest: the code is wrong, or the secret was not offered in the last ten minutes.
        Conflict: the account has an application.
    """
    user_id = acting.user_id
    codes = recovery.new_codes()
    with writing(engine) as connection:
        _check_has_none(begin_change(connection, acting, now))
        _check_offered(connection, seal, user_id, secret, now)
        step = totp.matching_step(secret, code, now)
        if step is None:
            raise WrongFirstCode
        if not people.take_enrolment(connection, user_id):
            raise Conflict("This application was set up a moment ago.")
        sealed = seal.seal(secret.encode(), totp_purpose(user_id))
        people.add_totp(connection, user_id, sealed, step, now)
        cause = Cause(now, user_id, "totp:add")
        store_codes(connection, user_id, codes, cause)
        changed(connection, acting, cause)
    return codes


def remove_totp(engine: Engine, acting: Acting, now: int) -> None:
    """Forget the application.

    Raises:
        InsufficientAuthentication: this session may not.
        NotFound: the account has no application.
        Conflict: it is the last second factor, and an organization requires one.
    """
    with writing(engine) as connection:
        directory.lock(connection)  # nobody begins to require it in the meantime
        begin_change(connection, acting, now)
        if not people.remove_totp(connection, acting.user_id):
            raise NotFound("There is no authenticator application.")
        removed(connection, acting, "otp", Cause(now, acting.user_id, "totp:remove"))


def changed(connection: Connection, acting: Acting, cause: Cause, **detail: str) -> None:
    """After what somebody logs in with was changed: end their other sessions, and record it."""
    revoked = end_sessions(connection, acting.user_id, cause, but=acting.session_id)
    audit.append_revoking(connection, cause, acting.user_id, revoked, **detail)


def removed(connection: Connection, acting: Acting, amr: str, cause: Cause, **detail: str) -> None:
    """After a second factor that proved `amr` was removed: as `changed`, and end the API tokens
    that rest on one such; if none is left, forget recovery codes. The caller holds `directory.lock`.

    Raises:
        Conflict: it was the last one, and an organization requires one.
    """
    gone = [amr]
    if not overview(connection, acting.user_id).has_second_factor:
        requiring = directory.requiring_mfa(connection, acting.user_id)
        if requiring:
            raise Conflict(
                "This is your last second factor, and multi-factor authentication (MFA) is"
                f" required by {', '.join(requiring)}. Set up another one first."
            )
        people.remove_recovery_codes(connection, acting.user_id)
        gone.append("recovery")
    end_tokens_resting_on(connection, acting.user_id, gone, cause)
    changed(connection, acting, cause, **detail)


def renew_recovery_codes(engine: Engine, acting: Acting, now: int) -> list[str]:
    """A new set of recovery codes; the old ones are void.

    Raises:
        InsufficientAuthentication: this session may not.
        Conflict: there is nothing that they could stand in for.
    """
    codes = recovery.new_codes()
    with writing(engine) as connection:
        if not begin_change(connection, acting, now).has_second_factor:
            raise Conflict("Set up a second factor first.")
        cause = Cause(now, acting.user_id, "recovery:renew")
        store_codes(connection, acting.user_id, codes, cause)
        audit.append(connection, cause.event, acting.user_id, acting.user_id, {})
    return codes


def of_user(engine: Engine, user_id: str) -> Overview:
    """What the account has, read by itself."""
    with reading(engine) as connection:
        return overview(connection, user_id)


def _check_has_none(found: Overview) -> None:
    if found.totp_since is not None:
        raise Conflict("You have set up an authenticator application. Remove it first.")


def _check_offered(connection: Connection, seal: Seal, user_id: str, secret: str, now: int) -> None:
    offered = people.find_enrolment(connection, user_id)
    if offered is not None and now - offered.issued_at <= totp.PENDING:
        pending = seal.open(offered.secret_sealed, _pending_purpose(user_id))
        if hmac.compare_digest(pending, secret.encode()):
            return
    raise InvalidRequest(
        "This QR code was not the last one shown to you, or is older than ten minutes. Start again."
    )


def store_codes(connection: Connection, user_id: str, codes: list[str], cause: Cause) -> None:
    """Store a new set of recovery codes; the old ones are void, and API tokens that rest on one."""
    hashes = [recovery.hash_of(user_id, code) for code in codes]
    people.put_recovery_codes(connection, user_id, hashes)
    end_tokens_resting_on(connection, user_id, ("recovery",), cause)


def _pending_purpose(user_id: str) -> str:
    return f"totp offered to {user_id}"

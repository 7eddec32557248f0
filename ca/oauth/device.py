"""The device grant (RFC 8628), as the device sees it: it asks, shows a code, and polls.

What the person does meanwhile is in `ca.oauth.approval`.
"""

import secrets
from collections.abc import Mapping

from sqlalchemy import Connection

from ca import audit
from ca.errors import CAError, InvalidRequest, TooManyAttempts
from ca.identity.attempts import WINDOW, in_window, network_of
from ca.identity.sessions import Visitor, hash_of, new_secret
from ca.oauth.grants import Agreement, Client, InvalidGrant, Server, Tokens, begin_grant
from ca.oauth.wishes import read_wish
from ca.store import attempts
from ca.store import device_codes as store
from ca.store.engine import writing
from ca.store.revocations import Cause
from ca.store.sessions import end_grant_session

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
PAGE = "/device"

LIFETIME = 600  # seconds
INTERVAL = 5  # seconds between two polls
SLOWER = 5  # seconds more after a poll that came too early
MAX_OPEN = 100  # that wait for a decision, from one address: nobody fills up the table
MAX_ASKED = 1000  # in an hour, from one network of IPv6: a customer has 2**64 addresses

# No vowels, so that no words come up, and nothing that looks like a digit (RFC 8628, section 6.1).
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8  # letters of 4.3 bits: 34.5 bits
GROUP = 4
_BLANKS = str.maketrans("", "", " \t\u00a0-\u2010\u2011\u2012\u2013\u2014")


class AuthorizationPending(InvalidRequest):
    """Nobody has decided yet."""

    code = "authorization_pending"


class SlowDown(InvalidRequest):
    """The device asks too often."""

    code = "slow_down"


class ExpiredToken(InvalidRequest):
    """Nobody decided in time."""

    code = "expired_token"


class AccessDenied(InvalidRequest):
    """The person said no, or was not let say yes; OAuth's status for it is 400."""

    code = "access_denied"


def authorize_device(
    server: Server, client_id: str, form: Mapping[str, str], visitor: Visitor, now: int
) -> dict[str, str | int]:
    """What a device shows and polls with (RFC 8628, section 3.2).

    There is no `verification_uri_complete`: who sends somebody a link could have them approve a
    login that is not theirs.

    Raises:
        InvalidRequest: no login can grant what is wished for.
        TooManyAttempts: this address has too many open.
    """
    wish = read_wish(form)
    device_code, user_code = new_secret(), _new_user_code()
    asked = store.DeviceAuthorization(
        code_hash=hash_of(device_code),
        client_id=client_id,
        scope=wish.scope,
        amr=wish.amr,
        max_age=wish.max_age,
        address=visitor.address,
        user_agent=visitor.user_agent,
        created_at=now,
        expires_at=now + LIFETIME,
    )
    with writing(server.engine) as connection:
        store.forget_old(connection, now)
        if store.count_open(connection, visitor.address, now) >= MAX_OPEN:
            raise TooManyAttempts("Too many logins wait at this address. Try again later.", 60)
        network = network_of(visitor.address)
        asked_there = in_window(f"Asked {network}", now)
        if network != visitor.address and not attempts.count_below(
            connection, asked_there, MAX_ASKED, now
        ):
            raise TooManyAttempts("Too many logins were begun in this network.", WINDOW)
        store.add(connection, asked, hash_of(user_code), INTERVAL)
    return {
        "device_code": device_code,
        "user_code": written(user_code),
        "verification_uri": f"{server.settings.issuer}{PAGE}",
        "expires_in": LIFETIME,
        "interval": INTERVAL,
    }


def redeem_device_code(server: Server, client: Client, form: Mapping[str, str], now: int) -> Tokens:
    """The tokens for what a person allowed, to the device that asked. They say `via` "device".

    Raises:
        AuthorizationPending, SlowDown: ask again later.
        ExpiredToken, AccessDenied, InvalidGrant: it is not to be had. A second use of a code
            ends what the first one began, as with all codes.
    """
    with writing(server.engine) as connection:
        outcome = _outcome(connection, client, hash_of(form.get("device_code", "")), now)
    if isinstance(outcome, Tokens):
        return outcome
    raise outcome  # only now: what was noted of this poll is kept


def _outcome(connection: Connection, client: Client, code_hash: str, now: int) -> Tokens | CAError:
    state = store.find_state(connection, code_hash)
    if state is None or state.client_id != client.id:
        return InvalidGrant("The device code is not valid.")
    approval = store.spend(connection, code_hash, now)
    if approval is not None:
        return _begin(connection, code_hash, approval, client.visitor, now)
    # Read again: another request may have spent it since.
    state = store.find_state(connection, code_hash) or state
    if state.sid is not None:
        cause = Cause(now, client.id, "device:reuse")
        revoked = end_grant_session(connection, state.sid, cause)
        if revoked is not None:
            audit.append_revoking(connection, cause, state.sid, revoked)
        return InvalidGrant("The device code was used before.")
    return _why_not_yet(connection, code_hash, state, now)


def _why_not_yet(
    connection: Connection, code_hash: str, state: store.State, now: int
) -> InvalidRequest:
    if state.allowed is False or state.dead:
        return AccessDenied("The login was refused.")
    if state.expires_at <= now:
        return ExpiredToken("The code has expired. Start the login again.")
    if not store.poll(connection, code_hash, now, SLOWER):
        return SlowDown(f"Wait {SLOWER} seconds longer between two requests.")
    return AuthorizationPending("Nobody has typed the code and allowed the login yet.")


def _begin(
    connection: Connection, code_hash: str, approval: store.Approval, visitor: Visitor, now: int
) -> Tokens:
    agreed = Agreement(**vars(approval), via="device")
    tokens = begin_grant(connection, agreed, visitor, now)
    store.note_session(connection, code_hash, tokens.session.sid)
    detail = {"client": agreed.client_id, "amr": sorted(tokens.session.amr), "via": agreed.via}
    audit.append(connection, "grant:begin", agreed.user_id, tokens.session.sid, detail)
    return tokens


def written(user_code: str) -> str:
    """A user code as it is shown: "WDJB-MJHT"."""
    return f"{user_code[:GROUP]}-{user_code[GROUP:]}"


def read_user_code(typed: str) -> str:
    """A user code as it was meant, whatever its case, blanks and dashes."""
    return typed.upper().translate(_BLANKS)


def _new_user_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))

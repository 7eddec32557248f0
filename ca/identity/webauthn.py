"""Passkeys and security keys: who may add, use and remove them, and what a use amounts to.

A page puts a question to a key: a challenge of ours, which comes back signed. It is given out
sealed, and nothing is kept of it until it is answered; the seal says what was asked and in which
session, so that an answer counts there alone, once, and for ten minutes.
"""

import base64
import hashlib
import json
import secrets
import unicodedata
import uuid
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Engine

from ca import audit
from ca.errors import CAError, Conflict, InvalidRequest, NotAuthenticated, NotFound
from ca.identity import attempts, ceremony, recovery
from ca.identity.attempts import in_window, network_of
from ca.identity.ceremony import LIFETIME, NotSound, Seen, Site
from ca.identity.factors import Acting, begin_change, changed, removed, store_codes
from ca.identity.proofs import Proof
from ca.identity.sessions import hash_of
from ca.keys import Seal
from ca.store import attempts as counts
from ca.store import directory, known_browsers, people
from ca.store import webauthn as store
from ca.store.engine import reading, writing
from ca.store.people import User
from ca.store.revocations import Cause
from ca.store.webauthn import Held, Key

CHALLENGE = 32  # bytes
MAX_KEYS = 20  # of one account
MAX_NAME = 64  # characters

MAX_FAILED = 100
"""Wrong answers that are counted and recorded of one address, or network of IPv6, in an hour. Nothing is
hashed for a made-up key: without this, who makes some up fills the audit log as fast as it writes."""


class WrongKey(NotAuthenticated):
    """The same for a key that nobody has, one of somebody else, and an answer that is not right."""

    code = "wrong_key"

    def __init__(self) -> None:
        super().__init__(
            "This key is not known here, or its answer does not count. Try again, or log in"
            " another way."
        )


class KeyRefused(InvalidRequest):
    """What the browser sent is no key that we take."""

    code = "key_refused"

    def __init__(self) -> None:
        super().__init__("This key cannot be used here. Try again, or use another one.")


@dataclass(frozen=True)
class Asked:
    """What a question is for, and whom it is put to.

    `session` is that of the browser; before a login, what the login page's cookie says. `user_id`
    is whose key must answer; without one, it is whoever the key names.
    """

    purpose: str
    session: str
    user_id: str = ""

    @property
    def sealed_for(self) -> str:
        """Where the challenge may come back, and nowhere else."""
        return f"webauthn {self.purpose} {self.session} {self.user_id}"


@dataclass(frozen=True)
class Question:
    """What the page's script gives to the browser, as JSON; and its challenge, for us."""

    options: str
    sealed: str


@dataclass(frozen=True)
class Answer:
    """The challenge as we had sealed it, and what the browser made of it, as JSON."""

    sealed: str
    credential: str


@dataclass(frozen=True)
class Use:
    """A key was used: by whom, and whether its counter says that there are two of it."""

    user: User
    proof: Proof
    counter_fell: bool


@dataclass(frozen=True)
class _Challenge:
    value: bytes
    asked_at: int


# --- using a key ----------------------------------------------------------------------------


def for_login(browser: str) -> Asked:
    """Asked of whoever is about to log in, in the browser with this cookie."""
    return Asked("login", browser)


def for_second(session_id: str, user_id: str) -> Asked:
    """Asked of somebody who has a session, and shows a second factor."""
    return Asked("second", session_id, user_id)


def ask(seal: Seal, site: Site, asked: Asked, keys: tuple[Key, ...], now: int) -> Question:
    """A question to one of `keys`; without any, to a passkey that knows its person."""
    challenge = _Challenge(secrets.token_bytes(CHALLENGE), now)
    options = ceremony.question(site, challenge.value, keys)
    return Question(options, _sealed(seal, asked, challenge))


def check(  # noqa: PLR0913 what was asked, and what was answered
    engine: Engine,
    seal: Seal,
    site: Site,
    asked: Asked,
    *,
    answer: Answer,
    now: int,
    browser: str = "",
    address: str = "",
) -> Use:
    """Whose key answered, and the proof that they have it.

    Each key's attempts are counted by themselves, also those of a key that nobody has: a signature
    cannot be guessed, and who guesses somebody's password must not lock them out with their key.
    Whoever knows the password is told the key's id, too: so browsers that the key's owner knows
    have a count of their own. `browser` is what the browser's cookie says.

    From an `address` that was wrong too often, nothing is counted or recorded any more, whether or not
    somebody has the key: nobody can tell, and right answers count, also of others behind it.

    Raises:
        InvalidRequest: the question was not ours, was not put here, or is too old.
        WrongKey: the answer does not count. Why is not told.
        TooManyAttempts: it was not looked at.
    """
    challenge = _opened(seal, asked, answer.sealed, now)
    try:
        credential_id = ceremony.id_of(answer.credential)
    except NotSound as error:
        raise WrongKey from error
    failed = in_window(f"Failed keys {network_of(address)}", now)
    with reading(engine) as connection:
        floods = counts.find_count(connection, failed).failures >= MAX_FAILED
        held = store.find_held(connection, credential_id)
        owner = held.user.id if held else ""
        known = known_browsers.is_known(connection, owner, hash_of(browser), now)
    subject = attempts.of_key(credential_id, now, known=known)
    if not floods:
        attempts.admit(engine, subject, now)
    try:
        held, seen = _seen(site, asked, held, challenge, answer.credential)
        use = _count(engine, held, seen, challenge, now)
    except NotSound as error:
        if not floods:
            _record_failure(engine, held.user.id if held else "", failed, address, now)
        raise WrongKey from error
    both = (attempts.of_key(credential_id, now, known=one) for one in (True, False))
    attempts.forget(engine, *both)
    return use


def _record_failure(engine: Engine, user_id: str, failed: str, address: str, now: int) -> None:
    """Record a wrong answer, and with the last that is recorded where they came from."""
    factor = {"factor": "webauthn"}
    with writing(engine) as connection:
        if not counts.count_below(connection, failed, MAX_FAILED, now):
            return
        audit.append(connection, "login:fail", user_id, user_id, factor)
        if counts.find_count(connection, failed).failures == MAX_FAILED:
            audit.append(connection, "login:flood", "", address, factor)


def _seen(
    site: Site, asked: Asked, held: Held | None, challenge: _Challenge, credential: str
) -> tuple[Held, Seen]:
    if held is None or asked.user_id not in ("", held.user.id):
        raise NotSound("not a key of theirs")
    seen = ceremony.read_use(site, held, challenge.value, credential)
    if not asked.user_id and not seen.names_person:
        raise NotSound("it does not say whose it is")
    return held, seen


def _count(engine: Engine, held: Held, seen: Seen, challenge: _Challenge, now: int) -> Use:
    key, user = held.key, held.user
    with writing(engine) as connection:
        if not _spend(connection, challenge, now):
            raise NotSound("it was answered before")
        rose = store.use_key(connection, key.id, seen.sign_count, now, backed_up=seen.backed_up)
        if not rose:
            if not store.flag_key(connection, key.id, now):
                raise NotSound("it was removed a moment ago")
            detail = {"key": key.id, "count": seen.sign_count}
            audit.append(connection, "webauthn:counter", user.id, user.id, detail)
    proof = Proof(key.amr, now, verified=seen.verified, of=key.id)
    return Use(user, proof, counter_fell=not rose)


# --- adding and removing one ----------------------------------------------------------------


def for_registration(acting: Acting) -> Asked:
    """Asked of a key that is to be added."""
    return Asked("register", acting.session_id, acting.user_id)


def ask_to_register(engine: Engine, seal: Seal, site: Site, acting: Acting, now: int) -> Question:
    """A question to a key that is to be added to the account.

    Raises:
        InsufficientAuthentication: this session may not.
    """
    challenge = _Challenge(secrets.token_bytes(CHALLENGE), now)
    with writing(engine) as connection:
        keys = begin_change(connection, acting, now).keys
        handle = store.make_handle(connection, acting.user_id)
        user = people.find_user(connection, acting.user_id)
    if user is None:
        raise NotFound("There is no such user.")
    options = ceremony.offer(site, challenge.value, user, handle, keys)
    return Question(options, _sealed(seal, for_registration(acting), challenge))


def register(  # noqa: PLR0913 what was asked, and what was answered
    engine: Engine, seal: Seal, site: Site, acting: Acting, *, name: str, answer: Answer, now: int
) -> list[str]:
    """Add a key to the account; new recovery codes, if it is the first second factor.

    Raises:
        InsufficientAuthentication: this session may not.
        InvalidRequest: the name is none, or the question was not ours, not put here, or too old.
        KeyRefused: it is no key that we take, or the answer is not to this question.
        Conflict: the question was answered, the key is somebody's, or there are enough.
    """
    label = _name(name)
    challenge = _opened(seal, for_registration(acting), answer.sealed, now)
    try:
        made = ceremony.read_new(site, challenge.value, answer.credential)
    except NotSound as error:
        raise KeyRefused from error
    key = Key(
        id=str(uuid.uuid4()), user_id=acting.user_id, name=label, created_at=now, **asdict(made)
    )
    codes = recovery.new_codes()
    with writing(engine) as connection:
        found = begin_change(connection, acting, now)
        if len(found.keys) >= MAX_KEYS:
            raise Conflict(f"You have {MAX_KEYS} keys. Remove one first.")
        if not _spend(connection, challenge, now) or not store.add_key(connection, key):
            raise Conflict("This key is registered already.")
        cause = Cause(now, acting.user_id, "webauthn:add")
        if not found.has_second_factor:
            store_codes(connection, acting.user_id, codes, cause)
        changed(connection, acting, cause, key=key.id, amr=key.amr)
    return [] if found.has_second_factor else codes


def remove(engine: Engine, acting: Acting, key_id: str, now: int) -> None:
    """Forget a key.

    Raises:
        InsufficientAuthentication: this session may not.
        NotFound: the account has no such key.
        Conflict: it is the last second factor, and an organization requires one.
    """
    with writing(engine) as connection:
        directory.lock(connection)  # nobody begins to require one in the meantime
        keys = {key.id: key for key in begin_change(connection, acting, now).keys}
        if key_id not in keys or not store.remove_key(connection, acting.user_id, key_id):
            raise NotFound("There is no such key.")
        cause = Cause(now, acting.user_id, "webauthn:remove")
        removed(connection, acting, keys[key_id].amr, cause, key=key_id)


def _name(typed: str) -> str:
    name = unicodedata.normalize("NFC", typed.strip())
    if not (0 < len(name) <= MAX_NAME and name.isprintable()):
        raise InvalidRequest(f"Give the key a name of 1 to {MAX_NAME} characters.")
    return name


# --- challenges -----------------------------------------------------------------------------


def _sealed(seal: Seal, asked: Asked, challenge: _Challenge) -> str:
    text = json.dumps({"value": challenge.value.hex(), "asked_at": challenge.asked_at})
    return base64.urlsafe_b64encode(seal.seal(text.encode(), asked.sealed_for)).decode()


def _opened(seal: Seal, asked: Asked, sealed: str, now: int) -> _Challenge:
    try:
        said = json.loads(seal.open(base64.urlsafe_b64decode(sealed), asked.sealed_for))
    except (CAError, ValueError) as error:
        raise InvalidRequest("This page is not complete. Open it again.") from error
    if now - said["asked_at"] > LIFETIME:
        raise InvalidRequest("This page is older than ten minutes. Open it again.")
    return _Challenge(bytes.fromhex(said["value"]), said["asked_at"])


def _spend(connection: Connection, challenge: _Challenge, now: int) -> bool:
    hashed = hashlib.sha256(challenge.value).hexdigest()
    return store.spend_challenge(connection, hashed, challenge.asked_at + LIFETIME, now)

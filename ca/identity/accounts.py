"""Checking passwords and codes: what a login is made of."""

from contextlib import suppress

from sqlalchemy import Connection, Engine

from ca import audit
from ca.errors import InvalidRequest, NotAuthenticated, NotFound
from ca.identity import attempts, passwords, recovery, totp
from ca.identity.links import end_all
from ca.identity.proofs import KEYS, Proof
from ca.identity.sessions import hash_of
from ca.identity.token_ends import end_tokens
from ca.keys import Seal
from ca.store import known_browsers, people
from ca.store.engine import reading, writing
from ca.store.people import Totp, User
from ca.store.revocations import Cause
from ca.store.sessions import end_sessions


class WrongPassword(NotAuthenticated):
    """The same for a name that nobody has, a disabled user, and one without a password."""

    code = "wrong_password"

    def __init__(self, locked: User | None = None) -> None:
        super().__init__("This name and this password do not belong together.")
        self.locked = locked  # who is to be told that this was the last attempt; nobody, mostly


class WrongCode(NotAuthenticated):
    """Also for a code that was right, but spent."""

    code = "wrong_code"

    def __init__(self, *, last: bool = False) -> None:
        super().__init__(
            "This code is not right, or was used before. Wait for the next one and type that."
        )
        self.last = last  # no more are admitted: its person is to be told


def totp_purpose(user_id: str) -> str:
    """What a confirmed secret is sealed for."""
    return f"totp {user_id}"


def check_password(  # noqa: PLR0913 whose password, and where it was typed
    engine: Engine,
    seal: Seal,
    name: str,
    password: str,
    now: int,
    *,
    browser: str = "",
    address: str = "",
) -> tuple[User, Proof]:
    """The user who has this name or e-mail address, and the proof that it is they.

    The attempt stays counted until `settle`. `browser` is what the browser's cookie says.

    Raises:
        WrongPassword: it is not. Which part is wrong is not told, nor to be measured.
        TooManyAttempts: it was not looked at.
        Busy: nor was it counted.
    """
    name = name.strip()
    with reading(engine) as connection:
        user = people.find_user_by_name(connection, name)
        stored = people.find_password(connection, user.id if user else "")
        subject = _subject(connection, user.id if user else "", browser, now)
    good = user is not None and user.logs_in
    with passwords.place(attempts.network_of(address)):
        last = attempts.admit(engine, subject or attempts.of_name(seal, name), now)
        right = passwords.is_right(password, stored.argon2 if stored and good else None)
    if user is None or stored is None or not right:
        record_failure(engine, user.id if user else "", "pwd")
        raise WrongPassword(user if last else None)
    if passwords.is_outdated(stored.argon2):
        with suppress(passwords.Busy):  # another login will do
            renewed = passwords.make_hash(password)
            with writing(engine) as connection:
                people.replace_hash(connection, user.id, stored.argon2, renewed)
    return user, Proof("pwd", now, of=str(stored.changed_at))


def check_code(  # noqa: PLR0913 whose code, and where it was typed
    engine: Engine, seal: Seal, user_id: str, code: str, now: int, *, browser: str = ""
) -> Proof:
    """Spend a code of the user's authenticator application, or one of the recovery codes.

    The attempt stays counted until `settle`.

    Raises:
        WrongCode: it is neither, or was spent.
        TooManyAttempts: it was not looked at.
    """
    with reading(engine) as connection:
        subject = _subject(connection, user_id, browser, now)
    last = attempts.admit(engine, subject, now)
    typed = recovery.normal(code)
    if len(typed) == recovery.LENGTH:
        with writing(engine) as connection:
            hashed = recovery.hash_of(user_id, typed)
            if people.spend_recovery_code(connection, user_id, hashed, now):
                audit.append(connection, "recovery:use", user_id, user_id, {})
                return Proof("recovery", now, of=hashed)
    elif spent := _spend_totp(engine, seal, user_id, code, now):
        return Proof("otp", now, of=str(spent.confirmed_at))
    record_failure(engine, user_id, "otp")
    raise WrongCode(last=last)


def settle(
    engine: Engine, user_id: str, proof: Proof, *, complete: bool, browser: str = ""
) -> None:
    """The last attempt was right. Only a whole login makes earlier failures forgotten.

    A key's attempts are counted by themselves (`ca.identity.webauthn`): there is none of the
    account's to take back.
    """
    if proof.amr not in KEYS:
        with reading(engine) as connection:
            subject = _subject(connection, user_id, browser, proof.at)
        attempts.take_back(engine, subject)
    if complete:
        attempts.begin_anew(engine, user_id)


def know_browser(engine: Engine, user_id: str, browser: str, replaced: str, now: int) -> None:
    """From now on, others' wrong guesses do not lock this user out of this browser."""
    with writing(engine) as connection:
        known_browsers.put(connection, user_id, hash_of(browser), hash_of(replaced), now)


def names_of(user: User) -> tuple[str, ...]:
    """What must not be a password of theirs."""
    mailbox, _, host = user.email.partition("@")
    return (user.username, user.name, mailbox, host, *host.split(".")[:-1])


def record_failure(engine: Engine, user_id: str, factor: str) -> None:
    """Write into the log that an attempt was wrong; whose, where that is known.

    The name that was typed is not recorded: now and then it is the password.
    """
    with writing(engine) as connection:
        audit.append(connection, "login:fail", user_id, user_id, {"factor": factor})


def set_password(engine: Engine, actor: str, user_id: str, password: str, now: int) -> None:
    """Give the user a new password; all their sessions and API tokens end.

    Raises:
        InvalidRequest: the password must not be one, or the user must have none.
        NotFound: there is no such user.
    """
    with reading(engine) as connection:
        found = people.find_user(connection, user_id)
    passwords.check_new(password, names_of(found) if found else ())
    argon2 = passwords.make_hash(password)  # slow: before the transaction, not in it
    with writing(engine) as connection:
        user = people.find_user(connection, user_id)
        if user is None:
            raise NotFound("There is no such user.")
        if user.kind != "person":
            raise InvalidRequest("A service user has no password. Its admins make API tokens.")
        store_password(connection, user_id, argon2, Cause(now, actor, "password:set"))


def store_password(
    connection: Connection, user_id: str, argon2: str, cause: Cause, *, but: str = ""
) -> None:
    """Store a new password's hash; all sessions, tokens and mailed links end, not session `but`."""
    people.put_password(connection, user_id, argon2, cause.at)
    end_all(connection, user_id, cause.at)
    end_tokens(connection, user_id, cause)
    revoked = end_sessions(connection, user_id, cause, but=but)
    audit.append_revoking(connection, cause, user_id, revoked)


def _subject(connection: Connection, user_id: str, browser: str, now: int) -> str:
    """Whose attempts these are: the account's, or those of the browsers that it knows."""
    known = known_browsers.is_known(connection, user_id, hash_of(browser), now)
    return attempts.of_known(user_id) if known else user_id


def _spend_totp(engine: Engine, seal: Seal, user_id: str, code: str, now: int) -> Totp | None:
    """The application whose code this is, if it was not spent."""
    with reading(engine) as connection:
        credential = people.find_totp(connection, user_id)
    if credential is None:
        return None
    secret = seal.open(credential.secret_sealed, totp_purpose(user_id)).decode()
    step = totp.matching_step(secret, code, now)
    if step is None:
        return None
    with writing(engine) as connection:
        return credential if people.spend_totp_step(connection, user_id, step) else None

"""Logins at a provider: beginning one, who came back, and linking that to an account.

Who somebody is there is issuer and subject, never an e-mail address. It is linked to an account
only by somebody who has just logged in to that account, and counts through the provider that it
was linked through alone: whoever gets hold of an issuer's name later opens nothing with it.

What was asked is kept, sealed, in the browser that was sent away, so that an answer counts there
alone, once, and for ten minutes.
"""

import base64
import json
import secrets
from dataclasses import asdict, dataclass

from sqlalchemy import Engine

from ca import audit
from ca.errors import CAError, Denied, InvalidRequest, NotAuthenticated
from ca.identity.attempts import in_window
from ca.identity.proofs import LOGIN, Proof, Proofs
from ca.identity.sessions import hash_of
from ca.identity.sso import client
from ca.identity.sso.client import Question, Registration
from ca.identity.sso.id_token import Login
from ca.identity.sso.networks import Networks
from ca.identity.sso.providers import find, note_tested, secret_purpose
from ca.identity.sso.recent import Recent
from ca.identity.sso.turns import Turns
from ca.keys import Seal
from ca.store import attempts
from ca.store import sso as store
from ca.store.engine import writing
from ca.store.people import User
from ca.store.sso import Provider

LIFETIME = 600  # seconds at the provider
OLDEST = 86400  # seconds: a login at a provider is asked for again each day

MAX_NOT_LINKED = 100
"""Records in an hour that somebody came back from a provider whom nobody knows here: it makes people up
as it likes."""
_SEALED_FOR = "sso"
_turns = Turns()
_recent = Recent()


class NotLinked(NotAuthenticated):
    """The provider knows them, and no account here does."""

    code = "not_linked"

    def __init__(self, label: str) -> None:
        super().__init__(
            f"Your account at {label} is not linked to an account here. Log in another way, then"
            " link it on your security page."
        )


class Declined(Denied):
    """The provider sent them back without a login."""

    def __init__(self, label: str) -> None:
        super().__init__(f"{label} did not log you in. Try again, or log in another way.")


@dataclass(frozen=True)
class Begun:
    """A login at a provider that somebody was sent to. `link` is the session that wants a link.

    `purpose` is what the login is for, as the pages seal it.
    """

    slug: str
    question: Question
    purpose: str
    asked_at: int
    link: str = ""


@dataclass(frozen=True)
class Site:
    """What is needed to ask providers."""

    engine: Engine
    seal: Seal
    networks: Networks
    issuer: str  # ours


# --- going there and coming back --------------------------------------------------------------


def begin(  # noqa: PLR0913 where to, and what for
    site: Site, slug: str, since: int, now: int, *, purpose: str = "", link: str = ""
) -> tuple[Begun, str]:
    """A question to a provider, and the URL to which the browser is sent with it.

    A login there counts from `since` on. One of which the provider does not say when it was may
    be as old as a day.

    Raises:
        NoProvider: nobody can be sent there.
        NotReached: it does not answer.
        Busy: too many ask it already.
    """
    provider = find(site.engine, slug)
    question = Question(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        redirect_uri=f"{site.issuer}/login/sso/{slug}/back",
        since=max(since, now - OLDEST),
        undated=since <= now - OLDEST,
    )
    registration = registration_of(site.seal, provider)
    metadata = _recent.find(provider.issuer, now)
    if metadata is None:
        with _turns.of(provider.organization_id):
            metadata = client.discover(site.networks, provider.issuer)
        _recent.keep(provider.issuer, metadata, now)
    url = client.url_of(registration, metadata, question, now)
    return Begun(slug, question, purpose, now, link), url


def seal(key: Seal, begun: Begun) -> str:
    """`begun` for a cookie that only we can read or make."""
    sealed = key.seal(json.dumps(asdict(begun)).encode(), _SEALED_FOR)
    return base64.urlsafe_b64encode(sealed).decode()


def unseal(key: Seal, sealed: str, slug: str, state: str, now: int) -> Begun:
    """What this browser was sent away with, if it comes back from there and with that.

    Raises:
        InvalidRequest: it does not.
    """
    failed = InvalidRequest("This login was not begun in this browser, or is over. Start it again.")
    try:
        said = json.loads(key.open(base64.urlsafe_b64decode(sealed), _SEALED_FOR))
    except (CAError, ValueError) as error:
        raise failed from error
    begun = Begun(**{**said, "question": Question(**said["question"])})
    same = secrets.compare_digest(begun.question.state.encode(), state.encode())
    if not same or begun.slug != slug or now - begun.asked_at > LIFETIME:
        raise failed
    return begun


def finish(site: Site, begun: Begun, answer: dict[str, str], now: int) -> tuple[Provider, Login]:
    """Who came back from the provider.

    Raises:
        InvalidRequest: somebody came back with this before.
        NoProvider: it was retired meanwhile.
        Declined: it did not log them in.
        NotReached: it did not say who they are in a way that counts.
        Busy: too many ask it already.
    """
    provider = find(site.engine, begun.slug)
    expires = begun.asked_at + LIFETIME
    with writing(site.engine) as connection:
        spent = store.spend_state(connection, hash_of(begun.question.state), expires, now)
    if not spent:
        raise InvalidRequest("This login is over. Start it again.")
    if "error" in answer:
        raise Declined(provider.label)
    registration = registration_of(site.seal, provider)
    with _turns.of(provider.organization_id):
        login = client.redeem(site.networks, registration, begun.question, answer, now=now)
    return provider, login


# --- what it amounts to -----------------------------------------------------------------------


def proofs_of(provider: Provider, login: Login) -> Proofs:
    """What a login there proves. What the provider says of it counts only where it is mapped."""
    own = Proof(f"{LOGIN}{provider.slug}", login.auth_time)
    if login.amr.isdisjoint(provider.mfa_values):
        return (own,)
    return own, Proof(f"{own.amr}:mfa", login.auth_time)


def log_in(engine: Engine, provider: Provider, login: Login, now: int) -> User:
    """The user whose identity came back.

    Raises:
        NotLinked: it is nobody's, or was linked through another provider; or they may not log in.
    """
    with writing(engine) as connection:
        found = store.find_identity(connection, provider.issuer, login.subject, provider.slug)
        if found is None or not found[1].logs_in:
            user_id = found[1].id if found else ""
            counted = in_window(f"Not linked {provider.slug}", now)
            if attempts.count_below(connection, counted, MAX_NOT_LINKED, now):
                detail = {"factor": f"{LOGIN}{provider.slug}"}
                audit.append(connection, "login:fail", user_id, user_id, detail)
            user = None
        else:
            identity, user = found
            store.use_identity(connection, identity.id, now)
            note_tested(connection, provider, user.id, now)
    if user is None:
        raise NotLinked(provider.label)
    return user


def registration_of(key: Seal, provider: Provider) -> Registration:
    """How we are known at a provider."""
    sealed = provider.client_secret_sealed
    purpose = secret_purpose(provider.slug, provider.issuer)
    secret = "" if sealed is None else key.open(sealed, purpose).decode()
    return Registration(provider.issuer, provider.client_id, secret, provider.scopes)

"""Providers of single sign-on, as logins meet them: which ones there are, and that one was tried."""

from sqlalchemy import Connection, Engine

from ca.errors import NotFound
from ca.store import directory
from ca.store import sso as store
from ca.store.engine import reading
from ca.store.sso import Provider


class NoProvider(NotFound):
    """There is none, or it is retired."""

    def __init__(self) -> None:
        super().__init__("There is no such single sign-on provider. Log in another way.")


def find(engine: Engine, slug: str) -> Provider:
    """The provider of this name.

    Raises:
        NoProvider: there is none.
    """
    with reading(engine) as connection:
        provider = store.find_provider(connection, slug)
    if provider is None:
        raise NoProvider
    return provider


def offered(engine: Engine, typed: str) -> list[Provider]:
    """The providers for an e-mail address, or the one with this name. They tell of no account."""
    _local, at, domain = typed.strip().lower().rpartition("@")
    with reading(engine) as connection:
        if at:
            return store.providers_with_domain(connection, domain)
        named = store.find_provider(connection, domain)
    return [named] if named else []


def secret_purpose(slug: str, issuer: str) -> str:
    """What a client secret is sealed for: with another issuer it must be given again."""
    return f"sso client of {slug} at {issuer}"


def note_tested(connection: Connection, provider: Provider, user_id: str, now: int) -> None:
    """A provider may be required once an admin of its organization came back from it."""
    role = directory.member_role(connection, provider.organization_id, user_id)
    if role in ("owner", "admin"):
        store.note_tested(connection, provider, now)

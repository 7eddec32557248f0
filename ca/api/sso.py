"""/organizations/{id}/sso and /users/{id}/identities: providers of single sign-on, and oneself there."""

import time
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ca.api import gate
from ca.api.enforcement import announce_less
from ca.api.gate import Authenticated
from ca.api.shapes import moment
from ca.api.totp import Oneself, acting_of
from ca.directory import people, providers
from ca.identity import notices
from ca.identity.sso.networks import Networks
from ca.services import Given, Services
from ca.store import directory
from ca.store import sso as store
from ca.store.engine import reading, writing
from ca.store.sso import Provider
from sshd_hook.policy import ADMIN, VIEWER

router = APIRouter(tags=["Single sign-on"])
SSO = "/organizations/{organization_id}/sso"
IDENTITIES = "/users/{user_id}/identities"

Text = Annotated[str, Field(max_length=255)]
Words = Annotated[list[Text], Field(max_length=16)]


class ChangedProvider(BaseModel):
    """What is to be otherwise about a provider; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    label: Text | None = None
    issuer: Text | None = None
    client_id: Text | None = None

    client_secret: Annotated[str, Field(max_length=1024)] | None = None
    """Shown nowhere again; empty for a public client."""

    scopes: Words | None = None

    mfa_values: Words | None = None
    """Values of the provider's own `amr` that count as multi-factor in this organization."""


class NewProvider(ChangedProvider):
    """A provider; its slug is for ever."""

    slug: Text
    issuer: Text
    client_id: Text


@router.get(SSO)
def list_providers(
    organization_id: str, caller: Authenticated, services: Given
) -> list[dict[str, Any]]:
    """The organization's providers."""
    with reading(services.engine) as connection:
        view = gate.organization(connection, caller, organization_id, VIEWER)
        found = store.providers_of(connection, view.organization.id)
    return [_item(one, view.stored.amr) for one in found]


@router.post(SSO, status_code=201)
def create_provider(
    organization_id: str, asked: NewProvider, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """Makes a provider. It can be required once an admin has logged in with it."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        made, mapped = providers.add(
            connection,
            view,
            caller,
            services.keys.seal,
            _networks(services),
            now=int(time.time()),
            **asked.model_dump(exclude_none=True),
        )
    announce_less(services, caller, mapped)
    return _item(made, view.stored.amr)


@router.patch(f"{SSO}/{{slug}}")
def update_provider(
    organization_id: str, slug: str, asked: ChangedProvider, caller: Authenticated, services: Given
) -> dict[str, Any]:
    """Changes a provider. Another issuer or client must be tested again."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        after, mapped = providers.change(
            connection,
            view,
            caller,
            services.keys.seal,
            _networks(services),
            slug=slug,
            now=int(time.time()),
            **asked.model_dump(exclude_none=True),
        )
    announce_less(services, caller, mapped)
    return _item(after, view.stored.amr)


@router.delete(f"{SSO}/{{slug}}", status_code=204)
def retire_provider(
    organization_id: str, slug: str, caller: Authenticated, services: Given
) -> None:
    """Retires a provider: nobody logs in with it again, and nobody gets its slug."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        providers.retire(connection, view, caller, slug, int(time.time()))


@router.post(f"{SSO}/{{slug}}/enable", status_code=204)
def require_provider(
    organization_id: str, slug: str, caller: Authenticated, services: Given
) -> None:
    """Requires logins at the provider. The caller's own must be one, with `mfa`."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        providers.require(connection, view, caller, slug, int(time.time()))


@router.post(f"{SSO}/{{slug}}/disable", status_code=204)
def release_provider(
    organization_id: str, slug: str, caller: Authenticated, services: Given
) -> None:
    """Requires it no more. The caller's login must be one with `mfa` of the last minutes."""
    with writing(services.engine) as connection:
        directory.lock(connection)
        view = gate.organization(connection, caller, organization_id, ADMIN)
        released = providers.release(connection, view, caller, slug, int(time.time()))
    announce_less(services, caller, released)


@router.get(IDENTITIES)
def list_identities(caller: Oneself, services: Given) -> list[dict[str, Any]]:
    """Who the caller is at providers. They are linked in a browser alone."""
    with reading(services.engine) as connection:
        found = store.identities_of(connection, caller.user.id)
    return [
        {
            "id": one.id,
            "provider": one.slug,
            "issuer": one.issuer,
            "subject": one.subject,
            "created_at": moment(one.created_at),
            "used_at": None if one.used_at is None else moment(one.used_at),
        }
        for one in found
    ]


@router.delete(f"{IDENTITIES}/{{identity_id}}", status_code=204)
def unlink_identity(identity_id: str, caller: Oneself, services: Given) -> None:
    """Unlinks an identity; what rests on it ends."""
    people.unlink(services.engine, acting_of(caller), identity_id, int(time.time()))
    notices.tell(services.settings, caller.user, "identity:unlink")


def _networks(services: Services) -> Networks:
    return Networks(services.settings.provider_networks, services.settings.provider_hosts)


def _item(provider: Provider, required: tuple[str, ...]) -> dict[str, Any]:
    return {
        "slug": provider.slug,
        "label": provider.label,
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "has_client_secret": provider.client_secret_sealed is not None,
        "scopes": list(provider.scopes),
        "mfa_values": list(provider.mfa_values),
        "domains": list(provider.domains),
        "tested_at": None if provider.tested_at is None else moment(provider.tested_at),
        "required": f"sso:{provider.slug}" in required,
    }

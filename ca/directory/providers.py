"""An organization's providers of single sign-on: making, changing, retiring and requiring them.

Whoever may do it is an owner or admin with a login of the last minutes that shows `mfa`: a
provider decides who gets in, and a mapping (`mfa_values`) what counts as `mfa`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, Unpack

from ca import audit
from ca.directory import enforcement
from ca.directory.access import Caller, require_fresh_mfa
from ca.directory.apply import grammar
from ca.directory.apply.diff import Change
from ca.directory.governed import governed
from ca.errors import Conflict, InvalidRequest, NotFound
from ca.identity.proofs import LOGIN
from ca.identity.sso.providers import secret_purpose
from ca.identity.sso.retirement import end_all_resting_on
from ca.store import directory
from ca.store import sso as store
from ca.store.items import Item
from ca.store.sso import Provider
from sshd_hook.names import is_slug
from sshd_hook.policy import ADMIN, in_order

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ca.directory.apply.grammar import Form
    from ca.directory.read import OrganizationView
    from ca.identity.sso.networks import Networks
    from ca.keys import Seal

MAX_PROVIDERS = 20  # of one organization


class Said(TypedDict, total=False):
    """What is said of a provider. What is left out stays; an empty secret is none."""

    label: str
    issuer: str
    client_id: str
    client_secret: str
    scopes: list[str]
    mfa_values: list[str]


def find(connection: Connection, view: OrganizationView, slug: str) -> Provider:
    """The organization's provider with this slug.

    Raises:
        NotFound: it has none.
    """
    found = store.find_provider(connection, slug)
    if found is None or found.organization_id != view.organization.id:
        raise NotFound("There is no such provider.")
    return found


def add(  # noqa: PLR0913 who makes what, where
    connection: Connection,
    view: OrganizationView,
    caller: Caller,
    seal: Seal,
    networks: Networks,
    *,
    slug: str,
    now: int,
    **said: Unpack[Said],
) -> tuple[Provider, Change]:
    """Make a provider. It can be logged in with at once, and required once an admin has.

    Raises:
        InsufficientAuthentication, Denied: the caller may not.
        InvalidRequest: something about it is wrong.
        Conflict: the slug was used before, by whomever; or there are enough.
    """
    require_fresh_mfa(view, caller, ADMIN, now)
    if not is_slug(slug):
        raise InvalidRequest("slug: 1 to 32 lower-case letters, digits and hyphens.")
    organization = view.organization.id
    if len(store.providers_of(connection, organization)) >= MAX_PROVIDERS:
        raise Conflict(f"There are {MAX_PROVIDERS} providers. Retire one first.")
    unasked = slug in view.requirement.providers and store.find_provider(connection, slug) is None
    if not unasked and not store.add_provider(connection, slug, organization):
        raise Conflict("A provider has or had this slug, and slugs are never used again.")
    empty = Provider(slug, organization, slug, "", "", None, ("openid",), (), (), None)
    made = _changed(empty, seal, networks, said)
    store.put_client(connection, made)
    _record(connection, caller, view, "provider:add", made)
    directory.bump(connection, now)
    return made, _mapped(empty, made)


def change(  # noqa: PLR0913 who changes what, where
    connection: Connection,
    view: OrganizationView,
    caller: Caller,
    seal: Seal,
    networks: Networks,
    *,
    slug: str,
    now: int,
    **said: Unpack[Said],
) -> tuple[Provider, Change]:
    """Change a provider. With another issuer or client it is as new: its secret must be given
    again, so that nobody sends it elsewhere who does not know it, and it must be tested again.

    Raises:
        InsufficientAuthentication, Denied: the caller may not.
        NotFound: there is none.
        InvalidRequest: something about it is wrong.
        Conflict: it is required, and another issuer or client may let nobody in.
    """
    require_fresh_mfa(view, caller, ADMIN, now)
    before = find(connection, view, slug)
    after = _changed(before, seal, networks, said)
    if (after.issuer, after.client_id) != (before.issuer, before.client_id):
        _check_not_required(connection, view, slug)
    after = store.change_client(connection, before, after)
    _record(connection, caller, view, "provider:change", after)
    return after, _mapped(before, after)


def retire(
    connection: Connection, view: OrganizationView, caller: Caller, slug: str, now: int
) -> None:
    """Let nobody log in with it from now on, and end what rests on it. Its slug is never used again.

    Raises:
        InsufficientAuthentication, Denied: the caller may not.
        NotFound: there is none.
        Conflict: it is required, or the last admin could not log in without it.
    """
    require_fresh_mfa(view, caller, ADMIN, now)
    gone = find(connection, view, slug)
    _check_not_required(connection, view, slug)
    # Whom it would leave without a way in elsewhere does not keep it here: an organization would
    # have no say over its own provider.
    with governed(connection, [view.organization.id]):
        store.retire_provider(connection, slug, now)
        end_all_resting_on(connection, slug, caller.user.id, now)
    _record(connection, caller, view, "provider:remove", gone)
    directory.bump(connection, now)


def require(
    connection: Connection, view: OrganizationView, caller: Caller, slug: str, now: int
) -> None:
    """Require logins at this provider for all that is the organization's.

    Raises:
        NotFound: there is none.
        Conflict: no admin has logged in with it yet, as it is now.
        InsufficientAuthentication, Denied: as for every requirement; the caller's own login must
            be one at the provider.
    """
    if find(connection, view, slug).tested_at is None:
        raise Conflict(
            "No owner or admin has logged in with this provider yet. Link it on your security page"
            " and log in with it; then it can be required."
        )
    amr = in_order({*view.stored.amr, f"{LOGIN}{slug}"})
    enforcement.change(connection, view, caller, replace(view.stored, amr=amr), now)


def release(
    connection: Connection, view: OrganizationView, caller: Caller, slug: str, now: int
) -> Change:
    """Require it no longer.

    Raises:
        InsufficientAuthentication, Denied: as for every requirement.
    """
    amr = tuple(value for value in view.stored.amr if value != f"{LOGIN}{slug}")
    after = replace(view.stored, amr=amr)
    if not amr:
        after = replace(after, max_age=None, device=False, report_only=False)
    return enforcement.change(connection, view, caller, after, now)


def _mapped(before: Provider, after: Provider) -> Change:
    """The part of it of which the other admins may have to be told."""
    item = Item("client", (after.slug,))
    return Change(item, {"mfa_values": [*before.mfa_values]}, {"mfa_values": [*after.mfa_values]})


def _changed(before: Provider, seal: Seal, networks: Networks, said: Said) -> Provider:
    after = replace(
        before,
        label=_text("label", said.get("label", before.label), grammar.TITLE),
        issuer=_issuer(networks, said.get("issuer", before.issuer)),
        client_id=_text("client_id", said.get("client_id", before.client_id), grammar.CLIENT_ID),
        scopes=_words("scopes", said.get("scopes", before.scopes)),
        mfa_values=_words("mfa_values", said.get("mfa_values", before.mfa_values)),
    )
    if "openid" not in after.scopes:
        raise InvalidRequest('scopes: "openid" must be among them.')
    secret = said.get("client_secret")
    if secret is not None:
        sealed = seal.seal(secret.encode(), secret_purpose(after.slug, after.issuer))
        return replace(after, client_secret_sealed=sealed if secret else None)
    if after.issuer != before.issuer and before.client_secret_sealed is not None:
        raise InvalidRequest("client_secret: give it again with another issuer.")
    return after


def _issuer(networks: Networks, url: str) -> str:
    if not grammar.is_issuer(url, networks):
        raise InvalidRequest("issuer: not an https URL as the provider writes it.")
    return url


def _text(name: str, value: str, form: Form) -> str:
    if not form.fits(value):
        raise InvalidRequest(f"{name}: {form.words}.")
    return value


def _words(name: str, values: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    if len(values) > grammar.MAX_WORDS or not all(map(grammar.WORD.fits, values)):
        raise InvalidRequest(f"{name}: at most {grammar.MAX_WORDS} words.")
    return tuple(dict.fromkeys(values))


def _check_not_required(connection: Connection, view: OrganizationView, slug: str) -> None:
    if store.is_required(connection, view.organization.id, f"{LOGIN}{slug}"):
        raise Conflict("This provider is required of logins. Require it no longer first.")


def _record(
    connection: Connection, caller: Caller, view: OrganizationView, event: str, what: Provider
) -> None:
    detail = {
        "organization": view.organization.name,
        "issuer": what.issuer,
        "client_id": what.client_id,
        "mfa_values": list(what.mfa_values),
    }
    audit.append(connection, event, caller.user.id, what.slug, detail)

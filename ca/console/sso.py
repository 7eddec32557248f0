"""Single sign-on on the pages: logging in at a provider, linking an account there, unlinking it.

A form's answer must not lead to another site: browsers hold it to the policy of its page. So the
pages lead to a provider by a link.
"""

import time
from urllib.parse import urlencode, urlsplit

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from ca.console import flow
from ca.console.browser import clear_away, get_away, session_of, set_away
from ca.console.edge import NotLoggedIn, PageRoute
from ca.console.flow import Purpose
from ca.console.pages import show
from ca.console.routes import For, proved
from ca.console.security import acting, back, logged_in
from ca.directory import people
from ca.errors import CAError, InsufficientAuthentication, InvalidRequest
from ca.http import status_of
from ca.identity import factors, notices, stepup
from ca.identity.sso import identities, logins, providers
from ca.identity.sso.id_token import Login
from ca.identity.sso.logins import Begun, NotLinked, Site
from ca.identity.sso.networks import Networks
from ca.identity.stepup import NONE, Step, earliest
from ca.oauth.forms import Form
from ca.services import Given, Services
from ca.store import sso as store
from ca.store.engine import reading
from ca.store.sso import Provider

router = APIRouter(route_class=PageRoute, include_in_schema=False)
log = structlog.get_logger()

PAGE = f"{flow.HOME}/sso"
MAX_TYPED = 254  # characters


@router.get("/login/sso")
def show_providers(services: Given, request: Request, sealed: For = "") -> Response:
    """Leads to the provider that is asked for; without one, asks for an address or its name."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, sealed, now)
    session = session_of(services, request, now)
    step = flow.step_of(services, purpose, session)
    provider = flow.provider_of(services, purpose, session) if step is Step.SSO else None
    return _providers_page(services, purpose, [provider] if provider else [])


@router.post("/login/sso")
def find_provider(services: Given, form: Form) -> Response:
    """Leads to the providers for an address. The answer tells nothing of accounts."""
    purpose = flow.unseal(services.keys.seal, form.get("for", ""), int(time.time()))
    typed = form.get("provider", "")[:MAX_TYPED]
    found = providers.offered(services.engine, typed)
    error = "" if found else "No single sign-on provider is known for this. Log in another way."
    return _providers_page(services, purpose, found, typed, error)


@router.get("/login/sso/{slug}")
def go_to_provider(services: Given, request: Request, slug: str, sealed: For = "") -> Response:
    """Sends the browser to the provider."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, sealed, now)
    session = session_of(services, request, now)
    known = session if session is not None and purpose.takes(session) else None
    second = factors.of_user(services.engine, known.user.id).second if known else NONE
    since = max(purpose.earliest, earliest(purpose.ask, second))
    kept = flow.seal(services.keys.seal, purpose)
    try:
        begun, url = logins.begin(_site(services), slug, since, now, purpose=kept)
    except CAError as error:
        return _failed(services, purpose, slug, error)
    return _sent(services, RedirectResponse(url, 303), begun)


@router.get("/login/sso/{slug}/back")
def come_back(services: Given, request: Request, slug: str) -> Response:
    """Takes the provider's answer: a login, or a link to the account that is logged in."""
    now = int(time.time())
    answer = _answer(request)
    sealed = get_away(services.settings, request)
    begun = logins.unseal(services.keys.seal, sealed, slug, answer.get("state", ""), now)
    if begun.link:
        response = _linked(services, request, begun, answer, now)
    else:
        response = _logged_in(services, request, begun, answer, now)
    clear_away(services.settings, response)
    return response


@router.get(PAGE)
def show_identities(services: Given, request: Request) -> Response:
    """The accounts at providers that this account is linked to, and those that it may be."""
    session, _found = logged_in(services, request)
    with reading(services.engine) as connection:
        linked = store.identities_of(connection, session.user.id)
        offered = store.providers_for(connection, session.user.id)
    return show(
        "identities.html",
        user=session.user,
        linked=[
            {"identity": one, "added": _day(one.created_at), "used": _day(one.used_at)}
            for one in linked
        ],
        providers=[{"provider": one, "host": urlsplit(one.issuer).netloc} for one in offered],
    )


@router.post(f"{PAGE}/link")
def begin_link(services: Given, request: Request, form: Form) -> Response:
    """Leads to the provider at which an account is to be linked. Only a form of ours gets here."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    identities.check_may_link(services.engine, acting(session), now)
    slug = form.get("provider", "")
    with reading(services.engine) as connection:
        provider = store.find_provider(connection, slug)
    begun, url = logins.begin(_site(services), slug, 0, now, link=session.id)
    label = provider.label if provider else slug
    host = urlsplit(url).netloc
    response = show("link.html", user=session.user, href=url, label=label, host=host)
    return _sent(services, response, begun)


@router.post(f"{PAGE}/unlink")
def unlink(services: Given, request: Request, form: Form) -> Response:
    """Unlinks one; whoever rests on it is logged out."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    people.unlink(services.engine, acting(session), form.get("id", ""), now)
    notices.tell(services.settings, session.user, "identity:unlink")
    return back(services, session, now)


@router.get(f"{PAGE}/link")
@router.get(f"{PAGE}/unlink")
def show_again() -> Response:
    """Somebody reloads what answered a form, and only a form gets that answer."""
    return RedirectResponse(PAGE, 303)


def _logged_in(
    services: Services, request: Request, begun: Begun, answer: dict[str, str], now: int
) -> Response:
    purpose = flow.unseal(services.keys.seal, begun.purpose, now)
    try:
        provider, login = _finished(services, begun, answer, now)
        user = logins.log_in(services.engine, provider, login, now)
        return proved(services, request, purpose, user, logins.proofs_of(provider, login))
    except CAError as error:
        return _failed(services, purpose, begun.slug, error)


def _linked(
    services: Services, request: Request, begun: Begun, answer: dict[str, str], now: int
) -> Response:
    session, _found = logged_in(services, request)
    if session.id != begun.link:
        raise NotLoggedIn
    try:
        provider, login = _finished(services, begun, answer, now)
        identities.link(services.engine, acting(session), provider, login, now)
    except InsufficientAuthentication:
        raise
    except CAError as error:
        return _failed(services, Purpose(asked_at=now, page=PAGE), begun.slug, error)
    notices.tell(services.settings, session.user, "identity:link")
    response = back(services, session, now)
    response.headers["location"] = PAGE
    return response


def _finished(
    services: Services, begun: Begun, answer: dict[str, str], now: int
) -> tuple[Provider, Login]:
    return logins.finish(_site(services), begun, answer, now)


def _failed(services: Services, purpose: Purpose, slug: str, error: CAError) -> Response:
    """Tells the person what happened and how to go on; the operator's log says why."""
    log.warning("sso", provider=slug, error=error.code, cause=str(error.__cause__ or ""))
    sealed = flow.seal(services.keys.seal, purpose)
    return show(
        "sso_failed.html",
        status=status_of(error),
        sends_to=purpose.request.redirect_uri if purpose.request else "",
        user=None,
        message=error.message,
        is_linking=purpose.page == PAGE and purpose.asker is None,
        not_linked=isinstance(error, NotLinked),
        request=purpose.asker,
        other=_another_way(purpose, sealed),
        again=f"/login/sso?{urlencode({'for': sealed})}",
        answers_to="/consent" if purpose.request else "/device/confirm",
        sealed=sealed,
    )


def _providers_page(
    services: Services,
    purpose: Purpose,
    providers: list[Provider] | None = None,
    typed: str = "",
    error: str = "",
) -> Response:
    sealed = flow.seal(services.keys.seal, purpose)
    query = urlencode({"for": sealed})
    return show(
        "sso.html",
        status=404 if error else 200,
        user=None,
        request=purpose.asker,
        providers=[
            {
                "label": one.label,
                "host": urlsplit(one.issuer).netloc,
                "href": f"/login/sso/{one.slug}?{query}",
            }
            for one in providers or ()
        ],
        typed=typed,
        error=error,
        sealed=sealed,
        other=_another_way(purpose, sealed),
    )


def _another_way(purpose: Purpose, sealed: str) -> str:
    """The page of other ways to log in; "" where a login at a provider is asked for, as none will do.

    That page would lead back here.
    """
    return "" if stepup.logins(purpose.ask) else f"/login?{urlencode({'for': sealed})}"


def _sent(services: Services, response: Response, begun: Begun) -> Response:
    set_away(services.settings, response, logins.seal(services.keys.seal, begun))
    return response


def _answer(request: Request) -> dict[str, str]:
    """The parameters of the provider's answer, none of them twice."""
    found = request.query_params.multi_items()
    answer = dict(found)
    if len(answer) != len(found):
        raise InvalidRequest(
            "This login was not begun in this browser, or is over. Start it again."
        )
    return answer


def _site(services: Services) -> Site:
    settings = services.settings
    networks = Networks(settings.provider_networks, settings.provider_hosts)
    return Site(services.engine, services.keys.seal, networks, settings.issuer)


def _day(moment: int | None) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment)) if moment is not None else ""

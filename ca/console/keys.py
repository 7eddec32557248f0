"""Passkeys and security keys on the pages: logging in with one, adding and removing them."""

import time

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from ca.console import flow
from ca.console.browser import browser_of, visitor_of
from ca.console.edge import PageRoute
from ca.console.flow import Purpose
from ca.console.pages import KEY_SCRIPT, show
from ca.console.routes import login_page, proved, second_page
from ca.console.security import acting, back, codes_page, logged_in
from ca.errors import CAError, Conflict, InvalidRequest, NotFound, TooManyAttempts
from ca.http import status_of
from ca.identity import ceremony, notices, webauthn
from ca.identity.ceremony import Site
from ca.identity.stepup import Step
from ca.identity.webauthn import Answer, Asked, WrongKey
from ca.oauth.forms import Form
from ca.services import Given, Services
from ca.store.sessions import BrowserSession

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ADD = f"{flow.HOME}/key"


@router.get("/static/webauthn.js")
def show_script() -> Response:
    """The one script of the pages: it passes a question to the browser, and its answer on."""
    headers = {"cache-control": "max-age=3600"}
    return Response(KEY_SCRIPT, media_type="text/javascript", headers=headers)


@router.post("/login/passkey")
def take_passkey(services: Given, request: Request, form: Form) -> Response:
    """Logs in whoever a passkey names."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, form.get("for", ""), now)
    asked = webauthn.for_login(browser_of(services.settings, request))
    try:
        return _used(services, request, purpose, asked, form)
    except (WrongKey, TooManyAttempts) as error:
        return login_page(services, request, purpose, error=error)


@router.post("/login/key")
def take_key(services: Given, request: Request, form: Form) -> Response:
    """Checks a key as the second factor."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, form.get("for", ""), now)
    session = flow.session_at(services, request, purpose, Step.SECOND, now)
    asked = webauthn.for_second(session.id, session.user.id)
    try:
        return _used(services, request, purpose, asked, form)
    except (WrongKey, TooManyAttempts) as error:
        return second_page(services, purpose, session, now, error)


@router.get("/login/passkey")
@router.get("/login/key")
@router.get(f"{ADD}/remove")
def show_again() -> Response:
    """Somebody reloads what answered a form, and only a form gets that answer."""
    return RedirectResponse(flow.HOME, 303)


@router.get(ADD)
def show_key(services: Given, request: Request) -> Response:
    """Asks for a name, and for a key to be added."""
    session, _found = logged_in(services, request)
    return _add_page(services, session)


@router.post(ADD)
def add_key(services: Given, request: Request, form: Form) -> Response:
    """Adds the key; with the first second factor, shows the recovery codes, once."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    name = form.get("name", "")
    try:
        codes = webauthn.register(
            services.engine,
            services.keys.seal,
            _site(services),
            acting(session),
            name=name,
            answer=_answer(form),
            now=now,
        )
    except (InvalidRequest, Conflict) as error:
        return _add_page(services, session, name, error)
    notices.tell(services.settings, session.user, "webauthn:add")
    if codes:
        return codes_page(services, session, codes, now, added="key")
    return back(services, session, now)


@router.post(f"{ADD}/remove")
def remove_key(services: Given, request: Request, form: Form) -> Response:
    """Forgets a key."""
    now = int(time.time())
    session, _found = logged_in(services, request)
    webauthn.remove(services.engine, acting(session), form.get("id", ""), now)
    notices.tell(services.settings, session.user, "webauthn:remove")
    return back(services, session, now)


def _used(
    services: Services, request: Request, purpose: Purpose, asked: Asked, form: dict[str, str]
) -> Response:
    """Note a key's proof in the session that it belongs to, and go on to the next page."""
    engine, key, site = services.engine, services.keys.seal, _site(services)
    now = int(time.time())
    browser = browser_of(services.settings, request)
    use = webauthn.check(
        engine,
        key,
        site,
        asked,
        answer=_answer(form),
        now=now,
        browser=browser,
        address=visitor_of(request).address,
    )
    if use.counter_fell:
        notices.tell(services.settings, use.user, "webauthn:counter")
    return proved(services, request, purpose, use.user, (use.proof,))


def _answer(form: dict[str, str]) -> Answer:
    return Answer(form.get("question", ""), form.get("answer", ""))


def _site(services: Services) -> Site:
    site = ceremony.site_of(services.settings.issuer)
    if site is None:
        raise NotFound(
            "Keys need a host name, and this service has only an address. Ask its operator."
        )
    return site


def _add_page(
    services: Services, session: BrowserSession, name: str = "", error: CAError | None = None
) -> Response:
    engine, key, site = services.engine, services.keys.seal, _site(services)
    question = webauthn.ask_to_register(engine, key, site, acting(session), int(time.time()))
    return show(
        "key.html",
        status=status_of(error) if error else 200,
        user=session.user,
        error=error.message if error else "",
        name=name,
        question=question,
    )

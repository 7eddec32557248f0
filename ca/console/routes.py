"""The pages of a login: password, code, consent; and logging out."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from ca.console import flow, security, words
from ca.console.browser import (
    browser_of,
    clear_cookie,
    remember,
    session_of,
    set_browser,
    set_cookie,
    visitor_of,
)
from ca.console.edge import PageRoute
from ca.console.flow import Elsewhere, Purpose
from ca.console.pages import STYLE, show
from ca.errors import CAError, InvalidRequest, TooManyAttempts
from ca.http import status_of
from ca.identity import (
    accounts,
    ceremony,
    factors,
    letters,
    notices,
    passwords,
    sessions,
    webauthn,
)
from ca.identity.accounts import WrongCode, WrongPassword
from ca.identity.proofs import LOGIN, Proofs
from ca.identity.stepup import Step, choices
from ca.identity.webauthn import WrongKey
from ca.oauth.authorize import give_code
from ca.oauth.forms import Form
from ca.services import Given, Services
from ca.store.people import User
from ca.store.sessions import BrowserSession

router = APIRouter(route_class=PageRoute, include_in_schema=False)
router.include_router(security.router)

For = Annotated[str, Query(alias="for")]

# Why a client gets no code: OAuth's word, and what its person reads.
CANCELLED = ("access_denied", "the login was cancelled in the browser.")
_UNMET = "unmet_authentication_requirements"
NOT_GIVEN = {
    Step.ENROL: (
        _UNMET,
        "your account has no second factor that will do. Set one up on the security page, then try again.",
    ),
    Step.UNMET: (
        _UNMET,
        "what is asked for cannot be shown here. Ask the admins of your organization.",
    ),
}


@router.get("/")
def show_home() -> Response:
    """There is one page to go to."""
    return RedirectResponse(flow.HOME, 303)


@router.get("/static/amrgate.css")
def show_style() -> Response:
    """The style of all pages."""
    return Response(STYLE, media_type="text/css", headers={"cache-control": "max-age=3600"})


@router.get("/login")
def show_login(services: Given, request: Request, sealed: For = "") -> Response:
    """Asks for name and password."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, sealed, now)
    session = session_of(services, request, now)
    step = flow.step_of(services, purpose, session)
    if step is not Step.PASSWORD:
        return RedirectResponse(flow.page_of(services, purpose, step), 303)
    known = session if session is not None and purpose.takes(session) else None
    return login_page(services, request, purpose, known=known)


@router.post("/login")
def take_password(services: Given, request: Request, form: Form) -> Response:
    """Checks name and password."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, form.get("for", ""), now)
    name = form.get("username", "")
    try:
        user, proof = accounts.check_password(
            services.engine,
            services.keys.seal,
            name,
            form.get("password", ""),
            now,
            browser=browser_of(services.settings, request),
            address=visitor_of(request).address,
        )
    except (WrongPassword, TooManyAttempts, passwords.Busy) as error:
        response = login_page(services, request, purpose, typed=name, error=error)
        if isinstance(error, WrongPassword) and error.locked:
            response.background = BackgroundTask(
                letters.tell_locked, services.settings, error.locked
            )
        return response
    return proved(services, request, purpose, user, (proof,))


@router.get("/login/code")
def show_code(services: Given, request: Request, sealed: For = "") -> Response:
    """Asks for a second factor: a code, a key, or a recovery code."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, sealed, now)
    session = flow.session_at(services, request, purpose, Step.SECOND, now)
    return second_page(services, purpose, session, now)


@router.post("/login/code")
def take_code(services: Given, request: Request, form: Form) -> Response:
    """Checks the code."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, form.get("for", ""), now)
    session = flow.session_at(services, request, purpose, Step.SECOND, now)
    engine, user = services.engine, session.user
    try:
        browser, code = browser_of(services.settings, request), form.get("code", "")
        proof = accounts.check_code(engine, services.keys.seal, user.id, code, now, browser=browser)
    except (WrongCode, TooManyAttempts) as error:
        if isinstance(error, WrongCode) and error.last:
            letters.tell_locked(services.settings, user)
        return second_page(services, purpose, session, now, error)
    if proof.amr == "recovery":
        notices.tell(services.settings, user, "recovery:use")
    return proved(services, request, purpose, user, (proof,))


@router.get("/login/missing")
def show_missing(services: Given, request: Request, sealed: For = "") -> Response:
    """Says that what is asked cannot be shown yet, and what to do."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, sealed, now)
    steps = (Step.ENROL, Step.UNMET)
    session, step = flow.arrived(services, request, purpose, steps, now)
    return show(
        "missing.html",
        sends_to=purpose.request.redirect_uri if purpose.request else "",
        user=session.user if session else None,
        request=purpose.asker,
        answers_to="/consent" if purpose.request else "/device/confirm",
        enrol=step is Step.ENROL,
        sealed=flow.seal(services.keys.seal, purpose),
    )


@router.get("/consent")
def show_consent(services: Given, request: Request, sealed: For = "") -> Response:
    """Names the client, what it asks and when, and needs a click: always."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, sealed, now)
    session = flow.session_at(services, request, purpose, Step.DONE, now)
    if purpose.request is None:
        raise Elsewhere(flow.page_of(services, purpose, Step.DONE))
    another = Purpose(
        asked_at=now, request=purpose.request, begin_anew=True, not_session=session.id
    )
    return show(
        "consent.html",
        sends_to=purpose.request.redirect_uri,
        user=session.user,
        request=purpose.request,
        may=words.may(purpose.request.scope),
        asked=time.strftime("%H:%M:%S", time.gmtime(purpose.request.asked_at)),
        ago=words.age(now - purpose.request.asked_at),
        sealed=flow.seal(services.keys.seal, purpose),
        another=flow.page_of(services, another, Step.PASSWORD),
    )


@router.post("/consent")
def take_consent(services: Given, request: Request, form: Form) -> Response:
    """Sends the browser back to the client, with a code or without."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, form.get("for", ""), now)
    asked = purpose.request
    if asked is None:
        raise InvalidRequest("There is nothing to agree to. Start the login again.")
    issuer = services.settings.issuer
    if form.get("decision") != "allow":
        step = flow.step_of(services, purpose, session_of(services, request, now))
        error, why = NOT_GIVEN.get(step, CANCELLED)
        return RedirectResponse(asked.answer(issuer, error=error, error_description=why), 303)
    session = flow.session_at(services, request, purpose, Step.DONE, now)
    code = give_code(services.engine, asked, session, now)
    return RedirectResponse(asked.answer(issuer, code=code), 303)


@router.get("/logout")
def show_logout(services: Given, request: Request) -> Response:
    """Asks whether to log out."""
    session = session_of(services, request, int(time.time()))
    return show("logout.html", user=None, known=session.user if session else None)


@router.post("/logout")
def take_logout(services: Given, request: Request) -> Response:
    """Ends the browser's session, and everything that its person granted."""
    now = int(time.time())
    session = session_of(services, request, now)
    if session is not None:
        sessions.log_out(services.engine, session, now)
    response = show("logout.html", user=None, known=None)
    clear_cookie(services.settings, response)
    return response


def proved(
    services: Services, request: Request, purpose: Purpose, user: User, proofs: Proofs
) -> Response:
    """Note proofs in the session that they belong to, and go on to the next page."""
    engine = services.engine
    now = int(time.time())
    present = session_of(services, request, now)
    lifted = None
    if present is not None and present.user.id == user.id and purpose.takes(present):
        lifted = sessions.add_proofs(engine, present, proofs, now)
    session, cookie = lifted or sessions.begin(
        engine, user, proofs, visitor_of(request), present, now=now
    )
    step = flow.step_of(services, purpose, session)
    if not proofs[0].amr.startswith(LOGIN):
        # Nothing is guessed at a provider; nor may it make our guesses forgotten.
        browser = browser_of(services.settings, request)
        complete = step is Step.DONE
        accounts.settle(engine, user.id, proofs[0], complete=complete, browser=browser)
    response = RedirectResponse(flow.page_of(services, purpose, step), 303)
    set_cookie(services.settings, response, cookie)
    # Who logs in at a provider alone has not been in as its person: the account's own browsers
    # have a count of guesses for themselves, which nobody else may use up.
    if step is Step.DONE and any(not one.amr.startswith(LOGIN) for one in session.proofs):
        remember(services, request, response, user, now)
    return response


def login_page(  # noqa: PLR0913 what stands on it
    services: Services,
    request: Request,
    purpose: Purpose,
    *,
    typed: str = "",
    known: BrowserSession | None = None,
    error: CAError | None = None,
) -> Response:
    """Asks for name and password, or a passkey. `known` is a session that is too old for this."""
    settings, key = services.settings, services.keys.seal
    site = ceremony.site_of(settings.issuer)
    browser = browser_of(settings, request) or sessions.new_secret()
    asked = webauthn.for_login(browser)
    response = show(
        "login.html",
        status=status_of(error) if error else 200,
        user=None,
        known=known.user if known else None,
        name=known.user.username if known else typed,
        error=error.message if error else "",
        key_failed=isinstance(error, WrongKey),
        request=purpose.asker,
        sealed=flow.seal(key, purpose),
        question=webauthn.ask(key, site, asked, (), int(time.time())) if site else None,
    )
    if site:
        set_browser(settings, response, browser)
    return response


def second_page(
    services: Services,
    purpose: Purpose,
    session: BrowserSession,
    now: int,
    error: CAError | None = None,
) -> Response:
    """Asks for one of the second factors that the account has and the purpose takes."""
    key, user = services.keys.seal, session.user
    found = factors.of_user(services.engine, user.id)
    kinds = choices(purpose.ask, session.proofs, found.second)
    keys = tuple(one for one in found.keys if one.amr in kinds)
    site = ceremony.site_of(services.settings.issuer) if keys else None
    asked = webauthn.for_second(session.id, user.id)
    return show(
        "code.html",
        status=status_of(error) if error else 200,
        user=user,
        error=error.message if error else "",
        key_failed=isinstance(error, WrongKey),
        request=purpose.asker,
        sealed=flow.seal(key, purpose),
        has_app="otp" in kinds,
        question=webauthn.ask(key, site, asked, keys, now) if site else None,
    )

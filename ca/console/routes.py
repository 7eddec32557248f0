"""The pages of a login: password, code, consent; and logging out."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from ca.console import flow, security
from ca.console.browser import clear_cookie, session_of, set_cookie, visitor_of
from ca.console.edge import PageRoute
from ca.console.flow import Purpose
from ca.console.pages import STYLE, show
from ca.errors import CAError, InvalidRequest, TooManyAttempts
from ca.http import status_of
from ca.identity import accounts, notices, sessions
from ca.identity.accounts import WrongCode, WrongPassword
from ca.identity.proofs import Proof
from ca.identity.stepup import Step
from ca.oauth.authorize import give_code
from ca.oauth.forms import Form
from ca.services import Given, Services
from ca.store.people import User
from ca.store.sessions import BrowserSession

router = APIRouter(route_class=PageRoute, include_in_schema=False)
router.include_router(security.router)

For = Annotated[str, Query(alias="for")]


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
    return _login_page(services, purpose, known.user.username if known else "", known)


@router.post("/login")
def take_password(services: Given, request: Request, form: Form) -> Response:
    """Checks name and password."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, form.get("for", ""), now)
    name = form.get("username", "")
    try:
        user, proof = accounts.check_password(services.engine, name, form.get("password", ""), now)
    except (WrongPassword, TooManyAttempts) as error:
        return _login_page(services, purpose, name, None, error)
    return _proved(services, request, purpose, user, proof)


@router.get("/login/code")
def show_code(services: Given, request: Request, sealed: For = "") -> Response:
    """Asks for the code of the authenticator app."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, sealed, now)
    session = session_of(services, request, now)
    step = flow.step_of(services, purpose, session)
    if session is None or step is not Step.CODE:
        return RedirectResponse(flow.page_of(services, purpose, step), 303)
    return _code_page(services, purpose, session)


@router.post("/login/code")
def take_code(services: Given, request: Request, form: Form) -> Response:
    """Checks the code."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, form.get("for", ""), now)
    session = session_of(services, request, now)
    step = flow.step_of(services, purpose, session)
    if session is None or step is not Step.CODE:
        return RedirectResponse(flow.page_of(services, purpose, step), 303)
    engine, user = services.engine, session.user
    try:
        proof = accounts.check_code(engine, services.keys.seal, user.id, form.get("code", ""), now)
    except (WrongCode, TooManyAttempts) as error:
        return _code_page(services, purpose, session, error)
    if proof.amr == "recovery":
        notices.tell(services.settings, user, "recovery:use")
    return _proved(services, request, purpose, user, proof)


@router.get("/login/missing")
def show_missing(services: Given, request: Request, sealed: For = "") -> Response:
    """Says that what is asked cannot be shown yet, and what to do."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, sealed, now)
    session = session_of(services, request, now)
    step = flow.step_of(services, purpose, session)
    if purpose.request is None or step not in (Step.ENROL, Step.UNMET):
        return RedirectResponse(flow.page_of(services, purpose, step), 303)
    return show(
        "missing.html",
        sends_to=purpose.request.redirect_uri,
        user=session.user if session else None,
        request=purpose.request,
        enrol=step is Step.ENROL,
        sealed=flow.seal(services.keys.seal, purpose),
    )


@router.get("/consent")
def show_consent(services: Given, request: Request, sealed: For = "") -> Response:
    """Names the client, what it asks and when, and needs a click: always."""
    now = int(time.time())
    purpose = flow.unseal(services.keys.seal, sealed, now)
    session = session_of(services, request, now)
    step = flow.step_of(services, purpose, session)
    if session is None or step is not Step.DONE or purpose.request is None:
        return RedirectResponse(flow.page_of(services, purpose, step), 303)
    another = Purpose(
        asked_at=now, request=purpose.request, begin_anew=True, not_session=session.id
    )
    return show(
        "consent.html",
        sends_to=purpose.request.redirect_uri,
        user=session.user,
        request=purpose.request,
        asked=time.strftime("%H:%M:%S", time.gmtime(purpose.request.asked_at)),
        ago=now - purpose.request.asked_at,
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
    session = session_of(services, request, now)
    step = flow.step_of(services, purpose, session)
    issuer = services.settings.issuer
    if form.get("decision") != "allow":
        error = (
            "unmet_authentication_requirements"
            if step in (Step.ENROL, Step.UNMET)
            else "access_denied"
        )
        return RedirectResponse(
            asked.answer(issuer, error=error, error_description="The login was not completed."),
            303,
        )
    if session is None or step is not Step.DONE:
        return RedirectResponse(flow.page_of(services, purpose, step), 303)
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


def _proved(
    services: Services, request: Request, purpose: Purpose, user: User, proof: Proof
) -> Response:
    """Note a proof in the session that it belongs to, and go on to the next page."""
    engine = services.engine
    present = session_of(services, request, proof.at)
    lifted = None
    if present is not None and present.user.id == user.id and purpose.takes(present):
        lifted = sessions.add_proof(engine, present, proof)
    session, cookie = lifted or sessions.begin(
        engine, user, proof, visitor_of(request), replaced=present
    )
    step = flow.step_of(services, purpose, session)
    accounts.settle(engine, user.id, complete=step is Step.DONE)
    response = RedirectResponse(flow.page_of(services, purpose, step), 303)
    set_cookie(services.settings, response, cookie)
    return response


def _login_page(
    services: Services,
    purpose: Purpose,
    name: str,
    session: BrowserSession | None,
    error: CAError | None = None,
) -> Response:
    return show(
        "login.html",
        status=status_of(error) if error else 200,
        user=None,
        known=session.user if session else None,
        name=name,
        error=error.message if error else "",
        request=purpose.request,
        sealed=flow.seal(services.keys.seal, purpose),
    )


def _code_page(
    services: Services,
    purpose: Purpose,
    session: BrowserSession,
    error: CAError | None = None,
) -> Response:
    return show(
        "code.html",
        status=status_of(error) if error else 200,
        user=session.user,
        error=error.message if error else "",
        request=purpose.request,
        sealed=flow.seal(services.keys.seal, purpose),
    )

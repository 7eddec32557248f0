"""/users/{id}/totp and /users/{id}/codes: an authenticator application, and its recovery codes."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from ca.api.gate import Authenticated
from ca.directory.access import Caller
from ca.errors import NotFound
from ca.identity import factors, notices, qr, totp
from ca.identity.factors import Acting
from ca.services import Given

router = APIRouter(prefix="/users/{user_id}", tags=["MFA"])

MAX_SECRET = 64  # characters
MAX_PASSCODE = 16


class Confirmation(BaseModel):
    """The secret that was offered, and a code that an application made of it."""

    secret: Annotated[str, Field(max_length=MAX_SECRET)]
    passcode: Annotated[str, Field(max_length=MAX_PASSCODE)]


def _oneself(user_id: str, caller: Authenticated) -> Caller:
    if user_id != caller.user.id:
        raise NotFound("There is no such user.")
    return caller


Oneself = Annotated[Caller, Depends(_oneself)]
"""The caller, whose own account the path names: others are not to be seen."""


@router.get("/totp")
def get_totp_enrollment(caller: Oneself, services: Given) -> dict[str, Any]:
    """A new secret, to be confirmed within ten minutes, and its QR code as a PNG in base64."""
    acting = acting_of(caller)
    now = int(time.time())
    secret = factors.offer_totp(services.engine, services.keys.seal, acting, now)
    issuer, account = services.settings.issuer, caller.user.username
    return {
        "issuer": issuer,
        "account_name": account,
        "secret": secret,
        "qr_code": qr.png_base64(totp.provisioning_uri(secret, account, issuer)),
    }


@router.post("/totp")
def confirm_totp_enrollment(
    caller: Oneself, services: Given, confirmation: Confirmation
) -> dict[str, Any]:
    """Takes the application; the recovery codes are shown only now."""
    codes = factors.confirm_totp(
        services.engine,
        services.keys.seal,
        acting_of(caller),
        confirmation.secret,
        confirmation.passcode,
        now=int(time.time()),
    )
    notices.tell(services.settings, caller.user, "totp:add")
    return {"recovery_codes": codes}


@router.delete("/totp", status_code=204)
def withdraw_totp_enrollment(caller: Oneself, services: Given) -> None:
    """Forgets the application and the recovery codes."""
    factors.remove_totp(services.engine, acting_of(caller), int(time.time()))
    notices.tell(services.settings, caller.user, "totp:remove")


@router.post("/codes", status_code=201)
def recreate_recovery_codes(caller: Oneself, services: Given) -> dict[str, Any]:
    """New recovery codes, shown only now; the old ones are void."""
    acting = acting_of(caller)
    codes = factors.renew_recovery_codes(services.engine, acting, int(time.time()))
    notices.tell(services.settings, caller.user, "recovery:renew")
    return {"recovery_codes": codes}


def acting_of(caller: Caller) -> Acting:
    """Who changes something of their own with this token.

    Where an API token stands for a login, nothing was proved now: it must not make another one.
    """
    session, by_token = caller.session, caller.session.api_token_id is not None
    proofs = () if by_token else session.proofs
    return Acting(caller.user.id, session.sid, proofs, session.via, by_token=by_token)

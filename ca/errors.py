"""Every error this service raises on purpose.

    CAError
    ├── InvalidRequest              the caller can fix it
    ├── NotAuthenticated            the caller has not proved who they are
    │   └── NothingShown            nor tried to
    ├── InsufficientAuthentication  they have, but not well or not recently enough
    ├── Denied                      policy says no
    │   └── InsufficientScope       to this token, whoever has it
    ├── NotFound                    it does not exist, or the caller may not know that it does
    ├── Conflict                    it contradicts what is there
    ├── AlreadyUsed                 a token, code or challenge was spent before, or never was
    ├── TooManyAttempts             wait before trying again
    ├── Misconfigured               only the operator can fix it: settings, keys, files, schema
    └── Unavailable                 nothing was done; trying again later is safe
        └── SigningFailed           the key is unreachable or refused: nothing was signed

`message` is for the person who asked: what happened and what to do about it, in one sentence,
with nothing in it they may not know. What only an operator may know goes in `__cause__`.
HTTP statuses and exit codes are chosen at the edges (`ca.http`, `ca.ops.main`), never here.
"""

from typing import ClassVar


class CAError(Exception):
    """An error with a message fit to show to whoever asked."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(CAError):
    """What was sent cannot be taken as it is."""

    code = "invalid_request"


class NotAuthenticated(CAError):
    """No token, cookie or password that we take, or one that is no longer good."""

    code = "invalid_token"


class NothingShown(NotAuthenticated):
    """No token at all, where one is needed. What was not sent is not wrong (RFC 6750, section 3.1)."""

    code = "unauthorized"


class InsufficientAuthentication(CAError):
    """A login that misses what is required: RFC 9470's answer, with the whole requirement."""

    code = "insufficient_user_authentication"

    def __init__(self, message: str, amr: tuple[str, ...], max_age: int | None) -> None:
        super().__init__(message)
        self.amr = amr
        self.max_age = max_age  # seconds


class Denied(CAError):
    """The caller is known, and may not."""

    code = "access_denied"


class InsufficientScope(Denied):
    """The token is limited to something else (RFC 6750, section 3.1). `scope` would do, if any."""

    code = "insufficient_scope"

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class NotFound(CAError):
    """Also what exists but is not the caller's to see: both answers are the same."""

    code = "not_found"


class Conflict(CAError):
    """The request is sound, but contradicts what is there."""

    code = "conflict"


class AlreadyUsed(CAError):
    """Spent, expired or never issued; which of them is not told."""

    code = "already_used"


class TooManyAttempts(CAError):
    """Guessing is slowed down."""

    code = "too_many_attempts"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class Misconfigured(CAError):
    """Settings, keys, files or the database's schema are not as they must be."""

    code = "server_error"


class Unavailable(CAError):
    """Something this needs cannot be reached now."""

    code = "temporarily_unavailable"


class SigningFailed(Unavailable):
    """The key is unreachable, locked or refuses. Nothing was signed."""

    code = "signing_failed"

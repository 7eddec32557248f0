"""What people are told by e-mail about their account: so that they notice what was not they."""

from ca import mail
from ca.settings import Settings
from ca.store.people import User

_WHAT = {
    "totp:add": "An authenticator app was set up for your account.",
    "totp:remove": "The authenticator app was removed from your account.",
    "webauthn:add": "A passkey or security key was added to your account.",
    "webauthn:remove": "A passkey or security key was removed from your account.",
    "webauthn:counter": (
        "A key of your account may have been copied. The counter in it did not rise at its last"
        " use: remove this key unless you know why."
    ),
    "recovery:renew": "New recovery codes were made for your account. The old ones are void.",
    "recovery:use": "A recovery code was used to log in to your account.",
    "refresh:reuse": (
        "A login of yours was ended, because a token of it was used twice: somebody may have"
        " copied it."
    ),
}


def tell(settings: Settings, user: User, event: str) -> None:
    """Tell `user` of `event`, which has happened."""
    what = _WHAT[event]
    text = (
        f"Hello {user.name},\n\n{what}\n\n"
        "If that was you, there is nothing to do. If not, log in and look at your account's"
        f" security:\n\n    {settings.issuer}/security\n"
    )
    mail.send(settings.data, user.email, f"Your account: {what.partition('.')[0]}", text)

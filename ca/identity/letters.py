"""E-mails with a link that proves who reads them, and those about passwords and addresses."""

from ca import mail
from ca.identity import links
from ca.settings import Settings
from ca.store.people import User


def send_reset(settings: Settings, user: User, token: str) -> None:
    """Mail the link with which somebody chooses a new password."""
    mail.send(
        settings.data,
        user.email,
        "Your account: a new password",
        f"Hello {user.name},\n\nsomebody, you we hope, asked for a new password for your account"
        f" {user.username}. Choose one here, within an hour:\n\n"
        f"    {links.url_of(settings, links.PASSWORD, token)}\n\n"
        "If that was not you, there is nothing to do: nothing was changed. Nobody of us ever asks"
        " you for this link.\n",
    )


def send_proof(settings: Settings, user: User, address: str, token: str) -> None:
    """Mail the link with which somebody shows that `address` is theirs."""
    mail.send(
        settings.data,
        address,
        "Your account: is this your address?",
        f"Hello,\n\nthe user {user.username} of {settings.issuer} says that this is their e-mail"
        " address. If you are they, confirm it here, within an hour:\n\n"
        f"    {links.url_of(settings, links.EMAIL, token)}\n\n"
        "If not, there is nothing to do.\n",
    )


def tell_new_password(settings: Settings, user: User) -> None:
    """Tell that the password was changed, by whichever way."""
    _tell(settings, user, user.email, "Your password was changed", "Your password was changed.")


def tell_asked_address(settings: Settings, user: User, address: str) -> None:
    """Tell the present address that another one was asked for."""
    what = f"A change of your account's e-mail address to {address} was asked for."
    _tell(settings, user, user.email, "Another e-mail address was asked for", what)


def tell_new_address(settings: Settings, user: User, address: str) -> None:
    """Tell the former address, which `user` still has, that there is a new one."""
    what = f"Your account's e-mail address is now {address}. Nothing more is sent to this one."
    _tell(settings, user, user.email, "Your e-mail address was changed", what)


def tell_locked(settings: Settings, user: User) -> None:
    """Tell that somebody has guessed too often."""
    what = (
        "Somebody has guessed your password or your code too often, so no more guesses are taken."
        " You still get in with a passkey, in a browser in which you have logged in before, or"
        " with a link that “Forgot your password?” on the login page mails to you."
    )
    _tell(settings, user, user.email, "Too many attempts to log in", what)


def _tell(settings: Settings, user: User, to: str, subject: str, what: str) -> None:
    text = (
        f"Hello {user.name},\n\n{what}\n\n"
        "If that was you, there is nothing to do. If not, log in and look at your account's"
        f" security, and tell whoever operates this service:\n\n    {settings.issuer}/security\n"
    )
    mail.send(settings.data, to, f"Your account: {subject[0].lower()}{subject[1:]}", text)

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
    "identity:link": "A single sign-on was linked to your account.",
    "identity:unlink": "A single sign-on was unlinked from your account.",
    "recovery:renew": "New recovery codes were made for your account. The old ones are void.",
    "recovery:use": "A recovery code was used to log in to your account.",
    "api_token:add": "An API token was made for your account.",
    "api_token:remove": "An API token of your account was removed.",
    "refresh:reuse": (
        "A login of yours was ended, because a token of it was used twice: somebody may have"
        " copied it."
    ),
}

_TO_ADMINS = {
    "service_user:exempt": (
        "{who} has exempted the service user {user} of {of}. It now reaches every project in"
        " which it has a role, whatever is required of logins there."
    ),
    "service_user:bound": (
        "{who} has ended that the service user {user} of {of} is exempt. What is required of"
        " logins now holds for it as well."
    ),
    "api_token:add": "{who} has made an API token for the service user {user} of {of}.",
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


def tell_admins(settings: Settings, admins: list[User], event: str, **about: str) -> None:
    """Tell those who decide in an organization of `event`, which has happened there.

    `about` names `who` did it, the service `user`, and the organization that it is `of`.
    """
    what = _TO_ADMINS[event].format(**about)
    for admin in admins:
        text = (
            f"Hello {admin.name},\n\n{what}\n\n"
            f"You are told of it because you are an owner or admin of {about['of']}. If it should"
            " not be so, change it, or ask whoever did it.\n"
        )
        mail.send(settings.data, admin.email, f"{about['of']}: {about['user']}", text)


def tell_of_less(
    settings: Settings, admins: list[User], organization: str, who: str, what: str
) -> None:
    """Tell admins of an organization that `who` has done `what`, so that less is asked of logins."""
    for admin in admins:
        text = (
            f"Hello {admin.name},\n\n{who} has {what}\n\n"
            f"You are told of it because you are an owner or admin of {organization}. If it should"
            " not be so, change it, or ask whoever did it.\n"
        )
        mail.send(settings.data, admin.email, f"{organization}: less is required", text)


def remind(settings: Settings, user: User, organization: str, who: User) -> None:
    """Ask a member of an organization to set up a second factor; an admin of it wants that."""
    text = (
        f"Hello {user.name},\n\n{who.name} of {organization} asks you to set up multi-factor"
        " authentication (MFA). Log in, and set up an authenticator app or a security key"
        f" here:\n\n    {settings.issuer}/security\n\n"
        "Then log in again in your terminal: amrgate login -f\n"
    )
    mail.send(settings.data, user.email, f"{organization}: please set up MFA", text)


def invite(settings: Settings, email: str, organization: str, who: User, token: str) -> None:
    """Send somebody the link by which they join an organization."""
    # The host is the issuer's, whatever host a request named.
    text = (
        f"Hello,\n\n{who.name} invites you to join {organization}. Open this page to accept; it"
        f" is good once, and for seven days:\n\n    {settings.issuer}/invitation?token={token}\n\n"
        "If you do not know what this is about, there is nothing to do.\n"
    )
    mail.send(settings.data, email, f"Invitation to {organization}", text)

"""What a person who is refused reads, and its compact form on the way there.

The hook writes the fields; the account program or the forced command, another process and
perhaps another user, checks each of them again and renders the text.
"""

from sshd_hook.names import is_display_name, is_project, is_slug, is_user_id, parse_service
from sshd_hook.policy import MORE_AUTHENTICATION, NO_ACCESS, Decision, in_order, is_max_age

UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))
MAX_FIELDS = 2048  # bytes
MAX_AGE_DIGITS = 8


class Refusal:
    """Who was refused what, and why."""

    __slots__ = ("decision", "name", "service", "user")

    def __init__(self, decision: Decision, service: str, name: str, user: str) -> None:
        self.decision = decision
        self.service = service
        self.name = name if is_display_name(name) else user
        self.user = user


def render(refusal: Refusal) -> str:
    """The text, to the letter what existing clients look for."""
    who = f"Service: {refusal.service}\nUser: {refusal.name} ({refusal.user})\n"
    if refusal.decision.outcome == NO_ACCESS:
        first = "Error: The service doesn't exist or you do not have access to it.\n"
        return first + who
    details = "".join(f"\t - {line}\n" for line in missing_in_words(refusal.decision))
    return (
        f"Error: Access denied\n{who}"
        f"Parameters: {parameters(refusal.decision)}\n"
        f"Detail: Additional authentication is required:\n{details}"
    )


def parameters(decision: Decision) -> str:
    """The requirement as JSON. All its values are of an alphabet that JSON does not escape."""
    amr = ",".join(f'"{value}"' for value in decision.amr)
    age = "" if decision.max_age is None else f',"max_age":{decision.max_age}'
    return f'{{"amr":[{amr}]{age}}}'


def missing_in_words(decision: Decision) -> "list[str]":
    """A line for each thing that is missing."""
    return [_in_words(part, decision.max_age or 0) for part in decision.missing]


def duration(seconds: int) -> str:
    """`seconds`, whole minutes, in the largest unit that divides them: "90 minutes", "1 day"."""
    for length, unit in UNITS:
        if seconds % length == 0:
            count = seconds // length
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{seconds} seconds"


def to_fields(refusal: Refusal) -> bytes:
    """The refusal as seven lines: what `from_fields` reads."""
    decision = refusal.decision
    return "\n".join(
        (
            decision.outcome,
            refusal.service,
            refusal.name,
            refusal.user,
            ",".join(decision.amr),
            "" if decision.max_age is None else str(decision.max_age),
            ",".join(decision.missing),
        )
    ).encode()


def from_fields(fields: bytes) -> Refusal:
    """Read back what `to_fields` wrote.

    Raises:
        ValueError: these are not the fields of a refusal. A local user can hand the programs
            that call this anything, so nothing in them reaches a terminal unchecked.
    """
    if len(fields) > MAX_FIELDS:
        raise ValueError("too long")
    outcome, service, name, user, amr, max_age, missing = fields.decode().split("\n")
    if not (parse_service(service) or is_project(service)) or not is_user_id(user):
        raise ValueError("not a service and a user id")
    if not is_display_name(name):
        raise ValueError("not a name that can be shown")
    if outcome == NO_ACCESS and not (amr or max_age or missing):
        return Refusal(Decision(NO_ACCESS), service, name, user)
    decision = Decision(
        outcome,
        tuple(amr.split(",")),
        _max_age(max_age),
        tuple(missing.split(",")),
    )
    if outcome != MORE_AUTHENTICATION or not _is_consistent(decision):
        raise ValueError("not a decision")
    return Refusal(decision, service, name, user)


def _is_consistent(decision: Decision) -> bool:
    allowed = {*decision.amr, "device"} | ({"max_age"} if decision.max_age else set())
    return (
        all(value == "mfa" or _is_login(value) for value in decision.amr)
        and decision.amr == in_order(set(decision.amr))
        and allowed.issuperset(decision.missing)
        and len(set(decision.missing)) == len(decision.missing)
    )


def _is_login(value: str) -> bool:
    return value.startswith("sso:") and is_slug(value[4:])


def _max_age(text: str) -> "int | None":
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > MAX_AGE_DIGITS:
        raise ValueError("not a number of seconds")
    if text[0] == "0" or not is_max_age(int(text)):
        raise ValueError("not an age that a requirement asks for")
    return int(text)


def _in_words(part: str, max_age: int) -> str:
    if part == "mfa":
        return "Multi-factor authentication (MFA)"
    if part == "max_age":
        return f"More recent authentication (within {duration(max_age)})"
    if part == "device":
        return "A login in a browser on this device"
    return f'Single sign-on (SSO), provider: "{part[4:]}"'

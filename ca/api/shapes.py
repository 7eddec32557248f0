"""How existing clients expect things to look. What makes no sense here is null, empty or false."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ca.errors import InvalidRequest
from ca.store.directory import Organization

NOT_KEPT_HERE = "nothing else is kept here"


def moment(seconds: int) -> str:
    """A time as text (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def links(hrefs: dict[str, str]) -> dict[str, dict[str, str]]:
    """Links by name, as HAL has them."""
    return {name: {"href": href} for name, href in hrefs.items()}


def names_of(name: str) -> tuple[str, str]:
    """A person's first and last name: only the whole is kept."""
    first, _, last = name.rpartition(" ")
    return (first, last) if first else (last, "")


def check_unchanged(said: Mapping[str, object], shown: Mapping[str, object], why: str) -> None:
    """See that what a client sends back of these fields is what it was shown.

    Raises:
        InvalidRequest: the first that is not, and `why` it cannot be.
    """
    for field, value in said.items():
        if value != shown.get(field, ""):
            raise InvalidRequest(f"{field}: {why}.")


def organization(organization: Organization, owner: str | None) -> dict[str, Any]:
    """An organization; `owner` is the id of its owner."""
    here = f"/organizations/{organization.id}"
    linked = {"self": here, "mfa-enforcement": f"{here}/mfa-enforcement"}
    return {
        "id": organization.id,
        "type": "flexible",
        "name": organization.name,
        "label": organization.label,
        "namespace": "",
        **({"owner_id": owner} if owner else {}),
        "country": "",
        "vendor": "",
        "status": "active",
        "capabilities": [],
        "created_at": moment(organization.created_at),
        "updated_at": moment(organization.created_at),
        "_links": links(linked),
    }

"""What may be required of a login, and when a change requires less than before.

`decide` obeys requirements; here is which of them an organization may make.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from ca.words import roughly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ca.store.directory import Requirement

MIN_AGE = 300  # seconds
MAX_AGE = 365 * 86400


def problems(requirement: Requirement, providers: frozenset[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with a requirement: pairs of a field and a sentence about it.

    `providers` are the slugs of the organization's own providers. Others' are refused: whoever
    runs one decides who gets through it.
    """
    own = {f"sso:{slug}" for slug in providers}
    for value in requirement.amr:
        if value != "mfa" and value not in own:
            yield "amr", f'{value!a} is neither "mfa" nor "sso:" and a provider of the organization'
    age = requirement.max_age
    if age is not None and (age % 60 or not MIN_AGE <= age <= MAX_AGE):
        bounds = f"from {roughly(MIN_AGE)} to {roughly(MAX_AGE)}"
        yield "max_age", f"{age} s is not in whole minutes, {bounds}"
    if age is not None and not requirement.amr:
        yield "max_age", "needs an amr beside it, so that there is something to prove again"
    if requirement.device and not requirement.amr:
        yield "device", "says nothing without an amr"
    if requirement.report_only and not requirement.amr:
        yield "report_only", "says nothing without an amr: networks are always held"
    for network in requirement.networks or ():
        if not _is_network(network):
            yield "networks", f"{network!a} is not a network such as 192.0.2.0/24"


def weakens(before: Requirement, after: Requirement) -> bool:
    """Whether some login that `before` keeps out would not be kept out by `after`."""
    before, after = before.held, after.held
    if set(before.amr) - set(after.amr) or (before.amr and after.device and not before.device):
        return True
    if before.max_age is not None and (after.max_age is None or after.max_age > before.max_age):
        return True
    return before.networks is not None and after.networks != before.networks


def _is_network(text: str) -> bool:
    try:
        return str(ip_network(text)) == text  # one way to write each
    except ValueError:
        return False

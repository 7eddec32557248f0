"""A host that is asked by the hook's own function, and by the second reading of the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ca.hosts import bundle_writer
from sshd_hook import bundle
from sshd_hook.answer import DeniedError, Policy, answer_to
from sshd_hook.bundle import ServiceRecord
from sshd_hook.policy import CONTRIBUTOR, VIEWER, Requirement
from tests import oracle
from tests.certificates import NOW
from tests.questions import DAY, SHARED_UID, arguments, content, statement

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from sshd_hook.certificate import Certificate

SLUGS = ["acme", "evil", "p00"]
SERVICES = 64
ROLES = [(CONTRIBUTOR, False)] * 5 + [(CONTRIBUTOR, True), (VIEWER, False), None]
CODES = {
    oracle.ALLOWED: "allowed",
    oracle.NO_ACCESS: "no_access",
    oracle.MORE: "more_authentication",
}


class Said(NamedTuple):
    """The code of an answer, and what is missing."""

    code: str
    missing: frozenset[str] = frozenset()


class Host:
    """Services with drawn requirements, and what each of these people may do on all of them."""

    def __init__(self, source: random.Random, users: Iterable[str]) -> None:
        self._services = [_service(source, number) for number in range(SERVICES)]
        drawn = {user: source.choice(ROLES) for user in users}
        self._roles = {user: role for user, role in drawn.items() if role}
        told = content(*self._services)
        told.access_lists = [self._roles]
        self._policy = Policy(bundle.from_bytes(bundle_writer.write(told)), statement(), SHARED_UID)

    def disagreement(
        self, source: random.Random, certificate: Certificate, blob: bytes
    ) -> tuple[str, str]:
        """The hook's code for a login to any of the services, and what is wrong with it, if anything."""
        service = source.choice(self._services)
        said = self._by_the_hook(service.name, certificate, blob)
        should = self._by_the_rules(service.requirement, certificate)
        return said.code, "" if said == should else f"{said} instead of {should}"

    def _by_the_hook(self, name: str, certificate: Certificate, blob: bytes) -> Said:
        asked = arguments(certificate, name, blob=blob)
        try:
            answer = answer_to(asked, NOW, lambda: self._policy)
        except DeniedError as denied:
            return Said(denied.code)
        missing = answer.details.get("missing", "")
        return Said(answer.code, frozenset(missing.split(",") if missing else ()))

    def _by_the_rules(self, asked: Requirement, certificate: Certificate) -> Said:
        """From the bare extensions, each of which is one text or nothing."""
        if not certificate.valid_after <= NOW < certificate.valid_before:
            return Said("not_valid_now")
        values = {name: data[4:].decode() for name, data in certificate.extensions}
        role, exempt = self._roles.get(certificate.key_id, (None, False))
        answer = oracle.answer(
            oracle.Question(
                amr=frozenset(values["amr@amrgate"].split(",") if "amr@amrgate" in values else ()),
                auth_time=int(values["auth-time@amrgate"])
                if "auth-time@amrgate" in values
                else None,
                via=values.get("via@amrgate", ""),
                role=role,
                needed=CONTRIBUTOR,
                exempt=exempt,
                required=asked.amr,
                max_age=asked.max_age,
                device=asked.device,
                networks=None,
                providers=asked.providers,
                peer=None,
                now=NOW,
            )
        )
        return Said(CODES[answer.outcome], answer.missing)


def _service(source: random.Random, number: int) -> ServiceRecord:
    """One that asks for no more than its organization's providers and factors."""
    providers = frozenset(source.sample(SLUGS, source.randint(0, 2)))
    logins = {f"sso:{slug}" for slug in providers if source.random() < 0.3}
    requirement = Requirement(
        frozenset(logins | {"mfa"} if source.random() < 0.8 else ()),
        source.choice([None, None, None, 3600, DAY]),
        device=source.random() < 0.5,
        providers=providers,
    )
    name = f"abcdefg123456-main-bvxea6i--s{number}"
    return ServiceRecord(name, requirement, max_offline=DAY, access_list=0)

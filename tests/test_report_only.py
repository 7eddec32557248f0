"""What is only reported: who is let in by it, who is not, and who may say so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.directory import requirements
from ca.directory.apply.document import InvalidFile
from ca.hosts.content import content_of
from ca.issuance import krl
from ca.store import directory, hosts
from ca.store.directory import Requirement as Stored
from ca.store.engine import reading as reading_of
from sshd_hook import policy, verdict
from sshd_hook.agent import connections
from sshd_hook.agent.revoked import Revoked
from sshd_hook.answer import answer_to
from sshd_hook.certificate import claims_of
from sshd_hook.policy import CONTRIBUTOR, Access, Requirement, decide
from tests.certificates import ALICE, NOW, extensions, user_certificate
from tests.directory import ACME, apply_text, log_in, records, version
from tests.operating import EXAMPLE, NAME, Ca
from tests.questions import DAVE, SERVICE, arguments, content, reading, record

if TYPE_CHECKING:
    from ca.services import Services
    from sshd_hook.answer import Answer
    from sshd_hook.bundle import ServiceRecord
    from sshd_hook.certificate import Certificate

pytest_plugins = ["tests.web"]

OWN = frozenset({"acme"})
MFA = Requirement(frozenset({"mfa"}), 3600, providers=OWN)
HERE = "/organizations/acme/mfa-enforcement"
REQUIRED = '\n[organizations.acme.requirement]\namr = ["mfa"]\n'
REPORTED = REQUIRED + "report_only = true\n"
ON_PROJECT = '\n[projects.abcdefg123456.requirement]\namr = ["sso:acme"]\n'
ON_HOST = ('[hosts."ssh.acme.example"]', '[hosts."ssh.acme.example"]\nreport_only = true')


def reporting(asked: Requirement = MFA, held: Requirement | None = None) -> ServiceRecord:
    found = record(SERVICE, held or Requirement(networks=asked.networks, providers=OWN))
    found.reported = asked
    return found


def person(user: str = ALICE, amr: str = "pwd", **more: str) -> Certificate:
    shown = extensions(amr=amr, **more)  # type: ignore[arg-type]  # each by its name
    return user_certificate(key_id=user, principals=(user,), extensions=shown)


def ask(certificate: Certificate, of: ServiceRecord) -> Answer:
    return answer_to(arguments(certificate), NOW, reading(content(of)))


# --- the hook -------------------------------------------------------------------------------


def test_whom_only_their_login_would_refuse_is_let_in_and_the_log_says_what_they_lack() -> None:
    answer = ask(person(auth_time=str(NOW - 7200)), reporting())
    enough = ask(person(amr="mfa,otp,pwd"), reporting())

    assert (answer.code, answer.details["missing"]) == ("report_only", "mfa,max_age")
    assert (answer.ending, answer.line) == (verdict.ALLOWED, enough.line)
    assert (enough.code, "missing" in enough.details) == ("allowed", False)


def test_what_is_held_is_held_beside_what_is_reported() -> None:
    both = reporting(
        Requirement(frozenset({"mfa", "sso:acme"}), providers=OWN),
        Requirement(frozenset({"sso:acme"}), providers=OWN),
    )

    refused, reported = ask(person(), both), ask(person(amr="sso:acme"), both)

    assert (refused.code, refused.details["missing"]) == ("more_authentication", "sso:acme")
    assert (reported.code, reported.details["missing"]) == ("report_only", "mfa")


def test_no_access_stays_no_access_and_networks_hold() -> None:
    inside = reporting(replace_networks(MFA, ("10.0.0.0/8",)))
    nowhere = reporting(replace_networks(MFA, ()))

    assert ask(person(DAVE), reporting()).code == "no_access"
    assert ask(person(), nowhere).code == "no_access"
    assert ask(person(), inside).code == "report_only"
    assert 'from="10.0.0.0/8"' in ask(person(), inside).line


def replace_networks(asked: Requirement, networks: tuple[str, ...]) -> Requirement:
    return Requirement(asked.amr, asked.max_age, networks, providers=asked.providers)


@pytest.mark.attack(201)
def test_a_foreign_provider_opens_no_door_by_a_report() -> None:
    """Where nothing is required it opens none either: a report is never less than that."""
    answer = ask(person(amr="mfa,otp,sso:evil"), reporting())

    assert answer.code == "report_only"  # the second factor is ours, and checked here
    for amr in ("sso:evil", "sso:evil:mfa"):
        assert ask(person(amr=amr), reporting()).code == "more_authentication"
        assert ask(person(amr=amr), record()).code == "more_authentication"


LOGINS = ["pwd", "otp,pwd", "mfa,otp,pwd", "sso:acme", "mfa,otp,sso:acme", "sso:evil"]


@settings(max_examples=300)
@given(
    st.frozensets(st.sampled_from(["mfa", "sso:acme"]), min_size=1),
    st.none() | st.integers(5, 120).map(lambda minutes: minutes * 60),
    st.sampled_from(LOGINS),
    st.integers(NOW - 9000, NOW + 400),
    st.sampled_from([ALICE, DAVE]),
)
def test_a_report_lets_in_exactly_whom_nothing_required_would(
    amr: frozenset[str], max_age: int | None, shows: str, auth_time: int, user: str
) -> None:
    asked = Requirement(amr, max_age, providers=OWN)
    certificate = person(user, shows, auth_time=str(auth_time))

    answer = ask(certificate, reporting(asked))

    access = Access(CONTRIBUTOR if user == ALICE else policy.VIEWER, CONTRIBUTOR)
    unasked, whole = (
        decide(one, access, claims_of(certificate), None, NOW)
        for one in (Requirement(providers=OWN), asked)
    )
    assert (answer.ending == verdict.ALLOWED) == (unasked.outcome == policy.ALLOWED)
    if unasked.outcome == policy.ALLOWED:
        assert (answer.code == "allowed") == (whole.outcome == policy.ALLOWED)
        assert answer.details.get("missing", "") == ",".join(whole.missing)


def test_an_open_connection_is_not_ended_for_what_is_only_reported() -> None:
    listed = Revoked(krl.write(1, NOW, {}, ()))
    found = answer_to(arguments(person()), NOW, reading(content(reporting())))
    open_one = verdict.parse(found.note)

    def why(of: ServiceRecord) -> str:
        return connections.reason(
            open_one, reading(content(of))().bundle, listed, lambda: None, NOW
        )

    assert not why(reporting())
    assert "more authentication needed" in why(record(SERVICE, MFA))


# --- what hosts are told --------------------------------------------------------------------


def told(services: Services) -> tuple[list[str], list[str] | None]:
    """What of the service is held against a login, and all that is asked for."""
    with reading_of(services.engine) as connection:
        host = hosts.find_host(connection, "ssh.acme.example")
        assert host
        (found,) = content_of(connection, host, ()).services
    asked = found.reported
    return sorted(found.requirement.amr), None if asked is None else sorted(asked.amr)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(ACME + REQUIRED, (["mfa"], None), id="required"),
        pytest.param(ACME + REPORTED, ([], ["mfa"]), id="reported"),
        pytest.param(
            ACME + REPORTED + ON_PROJECT,
            (["sso:acme"], ["mfa", "sso:acme"]),
            id="reported of the organization, required of the project",
        ),
        pytest.param(
            (ACME + REQUIRED + ON_PROJECT).replace(*ON_HOST),
            ([], ["mfa", "sso:acme"]),
            id="the host only reports",
        ),
        pytest.param(ACME.replace(*ON_HOST), ([], None), id="nothing to report"),
    ],
)
def test_hosts_are_told_what_is_held_and_what_is_asked_for(
    services: Services, text: str, expected: object
) -> None:
    apply_text(services.engine, text)

    assert told(services) == expected


def test_the_networks_of_a_report_are_held(services: Services) -> None:
    apply_text(services.engine, ACME + REPORTED + 'networks = ["10.0.0.0/8"]\n')

    with reading_of(services.engine) as connection:
        host = hosts.find_host(connection, "ssh.acme.example")
        assert host
        (found,) = content_of(connection, host, ()).services
    assert found.requirement.networks == ("10.0.0.0/8",)


# --- who may say so -------------------------------------------------------------------------


def required(services: Services) -> Stored:
    with reading_of(services.engine) as connection:
        acme = directory.find_organization(connection, "acme")
        assert acme
        return directory.requirement(connection, acme.id)


HELD = Stored(("mfa",), 3600)


@pytest.mark.parametrize(
    ("before", "after", "weaker"),
    [
        (HELD, replace(HELD, report_only=True), True),
        (replace(HELD, report_only=True), HELD, False),
        (Stored(), replace(HELD, report_only=True), False),
        (replace(HELD, report_only=True), Stored(), False),
        (replace(HELD, report_only=True), Stored(("mfa",), 7200, report_only=True), False),
        (Stored(("mfa",), None, ("10.0.0.0/8",)), Stored(("mfa",), report_only=True), True),
    ],
)
def test_to_report_only_what_was_held_weakens(
    before: Stored, after: Stored, *, weaker: bool
) -> None:
    assert requirements.weakens(before, after) is weaker


@pytest.mark.attack(150)
def test_only_an_admin_with_mfa_of_the_last_minutes_makes_it_report_only(
    services: Services,
) -> None:
    apply_text(services.engine, ACME + REQUIRED)
    body = {"report_only": True}
    held = Stored(("mfa",))

    answers = [
        log_in(services, "bob", "pwd").post(f"{HERE}/enable", body).status_code,
        log_in(services, "bob", "pwd", "otp", ago=700).post(f"{HERE}/enable", body).status_code,
        log_in(services, "alice", "pwd", "otp").post(f"{HERE}/enable", body).status_code,
        log_in(services, "mallory", "pwd", "otp").post(f"{HERE}/enable", body).status_code,
    ]

    assert answers == [401, 401, 403, 404]
    assert required(services) == held
    assert log_in(services, "bob", "pwd", "otp").post(f"{HERE}/enable", body).status_code == 204
    assert required(services) == replace(held, report_only=True)
    assert records(services.engine)[-1][0] == "requirement:change"


def test_to_require_it_ends_the_reports_also_for_a_client_that_knows_of_none(
    services: Services,
) -> None:
    apply_text(services.engine, ACME + REPORTED)
    before = required(services)
    bob = log_in(services, "bob", "pwd", "otp")

    assert bob.post(f"{HERE}/enable").status_code == 204
    assert required(services) == replace(before, report_only=False)


def test_the_other_admins_are_told_that_it_is_only_reported_now(services: Services) -> None:
    text = ACME.replace('bob = "admin"', 'bob = "admin", mallory = "admin"', 1)
    apply_text(services.engine, text + REQUIRED)

    log_in(services, "bob", "pwd", "otp").post(f"{HERE}/enable", {"report_only": True})

    (mail,) = (services.settings.data / "mail").glob("*.eml")
    assert "only reported" in mail.read_text()


def test_a_host_that_only_reports_is_told_to_whom_it_serves(ca: Ca) -> None:
    ca.check("apply", EXAMPLE)

    said = ca.check("host", "report-only", NAME, "on")
    assert said == f"{NAME} now only reports.\n"
    assert ca.check("host", "list") == f"{NAME}  has not joined, only reports\n"
    (mail,) = (ca.data / "mail").glob("*.eml")
    assert f"made the host {NAME} only report" in mail.read_text()
    assert records(ca.engine)[-1][0] == "host:change"
    before = version(ca.engine)
    ca.check("host", "report-only", NAME, "on")  # as it is
    assert version(ca.engine) == before
    ca.check("host", "report-only", NAME, "off")
    assert ca.check("host", "list") == f"{NAME}  has not joined\n"
    assert len(list((ca.data / "mail").glob("*.eml"))) == 1


def test_the_api_lets_in_and_logs_whom_hosts_would(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    apply_text(services.engine, ACME + REPORTED)

    answer = log_in(services, "alice", "pwd").get("/organizations/acme")

    assert answer.status_code == 200
    assert "report_only" in (logged := "".join(capsys.readouterr()))
    assert "missing" in logged
    apply_text(services.engine, ACME + REQUIRED)
    assert log_in(services, "alice", "pwd").get("/organizations/acme").status_code == 401


def test_what_is_only_reported_needs_something_to_report(services: Services) -> None:
    text = ACME + "\n[organizations.acme.requirement]\nreport_only = true\n"

    with pytest.raises(InvalidFile, match="says nothing without an amr"):
        apply_text(services.engine, text)

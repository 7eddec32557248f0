"""The hook's decision as a function: what sshd asked and the policy in, one answer or none out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sshd_hook import freshness, policy, verdict
from sshd_hook.answer import Answer, DeniedError, Policy, answer_to
from sshd_hook.bundle import ServiceRecord
from sshd_hook.certificate import HOST as HOST_CERTIFICATE
from sshd_hook.certificate import MAX_BLOB, Certificate, claims_of
from sshd_hook.policy import CONTRIBUTOR, Access, Requirement, decide
from sshd_hook.wire import b64, fingerprint
from tests.answers import GOOD, POLICY, ask, code_of, shown
from tests.certificates import (
    ALICE,
    HANDLE,
    NOW,
    authority,
    extensions,
    subject_key,
    user_certificate,
)
from tests.questions import (
    CAROL,
    DAVE,
    DAY,
    FOREIGN,
    GUARDED,
    MFA,
    NOWHERE,
    SERVICE,
    SHARED_UID,
    arguments,
    content,
    reading,
    record,
)

LETS_IN = "restrict,pty,agent-forwarding,X11-forwarding"


def person(user: str, **changes: Any) -> Certificate:
    return user_certificate(key_id=user, principals=(user,), **changes)


# --- three outcomes -------------------------------------------------------------------------


def test_whoever_may_come_in_does_with_what_the_service_grants() -> None:
    answer = ask()
    opens = 'port-forwarding,permitopen="127.0.0.1:9001",permitopen="localhost:5432"'
    assert answer.line == f"{LETS_IN},{opens} {ALICE}\n"
    assert answer.code == "allowed"
    assert answer.ending == verdict.ALLOWED


def test_the_log_says_who_came_to_what_and_what_was_missing() -> None:
    who = {"user": ALICE, "serial": "7730941132800000001", "session": HANDLE}
    assert ask().details == {"service": SERVICE, **who}
    weak = user_certificate(extensions=extensions(amr="pwd", auth_time=str(NOW - 3601)))
    assert ask(weak, GUARDED).details == {"service": GUARDED, **who, "missing": "mfa,max_age"}


def test_networks_are_for_sshd_to_compare() -> None:
    assert f',from="127.0.0.0/8,::1/128" {ALICE}\n' in ask(name=GUARDED).line


def test_without_forwards_nothing_is_forwarded() -> None:
    bare = ServiceRecord(SERVICE, Requirement(), max_offline=DAY, access_list=0)
    assert ask(policy=reading(content(bare))).line == f"{LETS_IN} {ALICE}\n"


def test_the_verdict_says_who_came_in_and_how_they_had_logged_in() -> None:
    certificate = user_certificate(extensions=extensions(via="device"))
    note = verdict.parse(ask(certificate, f"{SERVICE}--3").note)
    assert (note.user, note.service, note.session) == (ALICE, f"{SERVICE}--3", HANDLE)
    assert note.serial == certificate.serial
    assert note.key == fingerprint(subject_key("ssh-ed25519"))
    assert note.claims.amr == {"mfa", "otp", "pwd"}
    assert (note.claims.auth_time, note.claims.via) == (NOW - 600, "device")


def test_every_instance_of_a_service_is_the_service() -> None:
    assert ask(name=f"{SERVICE}--0").line == ask(name=f"{SERVICE}--9999").line == ask().line


def test_who_is_exempt_comes_in_without_having_logged_in() -> None:
    of = content()
    of.access_lists = [{CAROL: (CONTRIBUTOR, True)}, {}]
    robot = extensions(amr=None, auth_time="0")
    allowed = ask(person(CAROL, extensions=robot), GUARDED, reading(of))
    assert allowed.code == "allowed"
    assert ask(person(CAROL, extensions=robot), GUARDED).code == "more_authentication"


def test_too_weak_a_login_is_told_what_is_missing() -> None:
    answer = ask(user_certificate(extensions=extensions(amr="pwd")), GUARDED)
    assert answer.code == "more_authentication"
    assert answer.ending == verdict.REFUSED
    assert shown(answer) == (
        "Error: Access denied\n"
        f"Service: {GUARDED}\n"
        f"User: Alice ({ALICE})\n"
        'Parameters: {"amr":["mfa"],"max_age":3600}\n'
        "Detail: Additional authentication is required:\n"
        "\t - Multi-factor authentication (MFA)\n"
    )


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        (user_certificate(), NOWHERE),
        (user_certificate(), FOREIGN),
        (person(DAVE), SERVICE),
        (person(DAVE), GUARDED),
        (person("77777777-2222-4333-8444-555555555555"), SERVICE),
    ],
    ids=["no such service", "no role there", "viewer", "viewer, mfa asked for", "unknown person"],
)
def test_no_access_and_no_such_service_are_told_alike(certificate: Certificate, name: str) -> None:
    answer = ask(certificate, name)
    nowhere = ask(certificate, NOWHERE)
    assert answer.code == nowhere.code == "no_access"
    assert shown(answer).replace(name, NOWHERE) == shown(nowhere)


def test_a_network_list_without_networks_is_no_access() -> None:
    closed = record(SERVICE, Requirement(networks=()))
    assert ask(policy=reading(content(closed))).code == "no_access"


@settings(max_examples=400)
@given(
    st.frozensets(st.sampled_from(["mfa", "sso:acme", "sso:other"]), max_size=2),
    st.none() | st.integers(300, 7200),
    st.sampled_from(
        ["pwd", "otp,pwd", "mfa,otp,pwd", "sso:acme", "mfa,otp,sso:acme", "sso:other:mfa"]
    ),
    st.integers(NOW - 9000, NOW + 400),
    st.sampled_from([ALICE, CAROL, DAVE]),
)
def test_the_answer_is_the_decision_on_what_the_bundle_holds(
    amr: frozenset[str], max_age: int | None, shows: str, auth_time: int, user: str
) -> None:
    terms = Requirement(amr, max_age if amr else None, providers=frozenset({"acme"}))
    certificate = person(user, extensions=extensions(amr=shows, auth_time=str(auth_time)))
    role = policy.VIEWER if user == DAVE else CONTRIBUTOR
    decided = decide(terms, Access(role, CONTRIBUTOR), claims_of(certificate), None, NOW)
    answer = ask(certificate, policy=reading(content(record(SERVICE, terms))))
    assert answer.code.replace("_", " ") == decided.outcome.removesuffix(" needed")
    assert (answer.ending == verdict.ALLOWED) == (decided.outcome == policy.ALLOWED)
    assert answer.line.startswith(LETS_IN) == (decided.outcome == policy.ALLOWED)


# --- no answer ------------------------------------------------------------------------------


@pytest.mark.attack(37)
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["-c", "pass"],
        GOOD[:6],
        [*GOOD, ""],
        [*GOOD, "--help"],
        GOOD[::-1],
        ["-x", *GOOD[1:]],
        *([*GOOD[:n], GOOD[n + 1], GOOD[n], *GOOD[n + 2 :]] for n in range(6)),
        *([*GOOD[:n], "", *GOOD[n + 1 :]] for n in range(7)),
        *([*GOOD[:n], "\udcff\udcfe", *GOOD[n + 1 :]] for n in range(7)),
        *([*GOOD[:n], GOOD[n] + "\n", *GOOD[n + 1 :]] for n in range(7)),
        *([*GOOD[:n], GOOD[n] + " ", *GOOD[n + 1 :]] for n in range(7)),
        *([*GOOD[:n], "9" * 200_000, *GOOD[n + 1 :]] for n in range(7)),
        [GOOD[0], "4000011111111", *GOOD[2:]],
        [*GOOD[:6], GOOD[6].rstrip("=") + "!!!!"],
    ],
    ids=lambda words: " ".join(word[:9] for word in words).encode("ascii", "replace").decode(),
)
def test_arguments_of_another_shape_are_no_question(words: list[str]) -> None:
    assert code_of(words) in {"bad_arguments", "other_name", "bad_certificate", "disagreement"}


@pytest.mark.attack(29)
@pytest.mark.parametrize(
    ("size", "code"),
    [(MAX_BLOB + 1, "bad_certificate"), (MAX_BLOB + 2, "bad_arguments"), (98_303, "bad_arguments")],
)
def test_what_is_too_long_for_a_certificate_is_not_even_decoded(size: int, code: str) -> None:
    assert code_of([*GOOD[:6], b64(b"x" * size)]) == code


@pytest.mark.parametrize("uid", ["1", "4294967295", "1234567890"])
def test_every_uid_is_one(uid: str) -> None:
    words = arguments(user_certificate(), uid=uid)
    assert answer_to(words, NOW, POLICY).code == "allowed"
    assert code_of([*words[:1], uid + "x", *words[2:]]) == "bad_arguments"
    assert code_of([*words[:1], uid.rjust(11, "0"), *words[2:]]) == "bad_arguments"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("root", "other_name"),
        ("backup-admin1-x--y", "other_name"),
        (f"{SERVICE}\nroot", "other_name"),
        (f"{SERVICE}#", "other_name"),
        ("abcdefg123456", "repository"),
    ],
)
def test_other_names_are_not_the_hooks_business(name: str, code: str) -> None:
    assert code_of(arguments(user_certificate(), name)) == code


@pytest.mark.parametrize("place", range(2, 6))
def test_what_sshd_reads_in_the_certificate_must_be_what_we_read(place: int) -> None:
    other = user_certificate(
        "ecdsa-sha2-nistp256",
        key_id=CAROL,
        principals=(CAROL,),
        serial=2**63,
        signature_key=authority("ssh-rsa").public_key,
    )
    words = [*GOOD[:place], arguments(other)[place], *GOOD[place + 1 :]]
    assert code_of(words) == "disagreement"


@pytest.mark.attack(6, 8, 14, 19, 27)
@pytest.mark.parametrize(
    "changes",
    [
        {"kind": HOST_CERTIFICATE},
        {"kind": 0},
        {"kind": 3},
        {"principals": ()},
        {"principals": ("root",)},
        {"principals": (CAROL,)},
        {"principals": (ALICE, ALICE)},
        {"key_id": "alice", "principals": ("alice",)},
        {"serial": 0},
        {"critical_options": (("amr@amrgate", b"\0\0\0\3mfa"),)},
        {"critical_options": (("force-command", b"\0\0\0\1x"),)},
        {"extensions": extensions(more={"permit-user-rc": b""})},
        {"extensions": extensions(session="")},
        {"extensions": extensions(amr="MFA")},
        {"extensions": extensions(via="browser")},
    ],
    ids=str,
)
def test_a_certificate_that_our_ca_would_not_issue_is_refused(changes: dict[str, Any]) -> None:
    assert code_of(arguments(user_certificate(**changes))) == "bad_certificate"


@pytest.mark.attack(27)
@pytest.mark.parametrize("serial", [1, 2**63, 2**64 - 1])
def test_serials_are_exact(serial: int) -> None:
    answer = ask(user_certificate(serial=serial))
    assert verdict.parse(answer.note).serial == serial
    assert answer.details["serial"] == str(serial)


@pytest.mark.attack(24, 26, 56)
@pytest.mark.parametrize(
    ("now", "valid"),
    [
        (NOW - 61, False),
        (NOW - 60, True),
        (NOW + 3599, True),
        (NOW + 3600, False),
        (NOW - DAY, False),
        (NOW + DAY, False),
        (0, False),
        (-1, False),
        (4102444800, False),
    ],
)
def test_a_certificate_is_good_from_its_first_second_to_before_its_last(
    now: int, *, valid: bool
) -> None:
    words = arguments(user_certificate(extensions=extensions(auth_time=str(NOW - 600))))
    if valid:
        assert answer_to(words, now, POLICY).code == "allowed"
    else:
        assert code_of(words, now) == "not_valid_now"


@pytest.mark.attack(56)
@given(st.integers(NOW - 3 * DAY, NOW + 3 * DAY), st.integers(NOW - 2 * DAY, NOW + 2 * DAY))
def test_no_clock_lets_in_outside_of_both_validities(now: int, issued_at: int) -> None:
    words = arguments(user_certificate(valid_after=NOW - DAY, valid_before=NOW + DAY))
    policy = reading(issued_at=issued_at, not_after=issued_at + DAY)
    inside = NOW - DAY <= now < NOW + DAY and issued_at - 300 <= now <= issued_at + DAY
    try:
        assert answer_to(words, now, policy).code == "allowed"
        lets_in = True
    except DeniedError:
        lets_in = False
    assert lets_in == inside


@pytest.mark.attack(61)
def test_an_expired_certificate_is_refused_before_the_policy_is_opened() -> None:
    opened: list[int] = []

    def read() -> Policy:
        opened.append(1)
        return POLICY()

    words = arguments(user_certificate())
    for _ in range(1000):
        with pytest.raises(DeniedError, match="expired"):
            answer_to(words, NOW + 3600, read)
    assert not opened
    answer_to(words, NOW, read)
    assert opened


def test_a_ca_that_the_bundle_does_not_know_is_refused() -> None:
    other = user_certificate(signature_key=authority("ssh-rsa").public_key)
    assert code_of(arguments(other), policy=POLICY) == "authority_unknown"


@pytest.mark.attack(44)
@pytest.mark.parametrize(
    ("now", "code"),
    [(NOW + 3540, "allowed"), (NOW + 3541, "policy_stale"), (NOW - 59 - 300, "not_valid_now")],
)
def test_a_policy_is_obeyed_until_its_last_second(now: int, code: str) -> None:
    policy = reading(not_after=NOW + 3540)
    words = arguments(user_certificate(valid_before=NOW + 2 * DAY))
    if code == "allowed":
        assert answer_to(words, now, policy).code == code
    else:
        assert code_of(words, now, policy) == code


def test_an_organizations_own_limit_is_obeyed_and_not_told() -> None:
    """Whoever has no access must not see by a missing text that a service has a limit."""
    short = ServiceRecord(SERVICE, Requirement(), max_offline=600, access_list=0)
    policy = reading(content(short, record(GUARDED)), issued_at=NOW - 601, not_after=NOW + 3600)
    assert code_of(arguments(user_certificate()), policy=policy) == "policy_stale"
    assert ask(name=GUARDED, policy=policy).code == "allowed"
    strangers = [arguments(person(DAVE), name) for name in (SERVICE, GUARDED, NOWHERE)]
    assert {code_of(words, policy=policy) for words in strangers} == {"policy_stale"}


def test_nothing_is_printed_while_the_service_has_no_account_of_its_own() -> None:
    words = arguments(user_certificate(), uid=SHARED_UID)
    assert code_of(words, policy=POLICY) == "no_account"
    nowhere = arguments(user_certificate(), NOWHERE, uid=SHARED_UID)
    assert answer_to(nowhere, NOW, POLICY).code == "no_access"


def test_damage_that_is_found_while_looking_up_is_no_answer() -> None:
    class Torn:
        """A bundle whose buckets are damaged."""

        strictest = DAY

        def trusts(self, _key: bytes) -> bool:
            return True

        def service(self, _name: str) -> None:
            raise ValueError("a bucket is damaged")

    torn = Policy(Torn(), POLICY().freshness, SHARED_UID)  # type: ignore[arg-type]  # what the disk did
    assert code_of(GOOD, policy=lambda: torn) == "bundle_damaged"


# --- twice the same -------------------------------------------------------------------------


def plain(answer: Answer) -> tuple[object, ...]:
    return answer.code, answer.line, answer.ending, answer.note, answer.details


def test_the_same_question_has_the_same_answer() -> None:
    for name in (SERVICE, GUARDED, FOREIGN, NOWHERE):
        assert plain(ask(name=name)) == plain(ask(name=name, policy=reading()))


@pytest.mark.attack(59)
def test_the_second_run_decides() -> None:
    strict = reading(content(record(SERVICE, MFA)))
    weak = user_certificate(extensions=extensions(amr="pwd"))
    codes = [ask(weak, policy=policy).code for policy in (POLICY, strict, POLICY)]
    assert codes == ["allowed", "more_authentication", "allowed"]


def test_every_freshness_that_can_be_written_is_read() -> None:
    assert freshness.parse(freshness.render(POLICY().freshness)).host_id

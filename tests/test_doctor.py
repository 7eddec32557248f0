"""The doctor finds each planted fault, by its code and nothing else, and nothing on a healthy host."""

from __future__ import annotations

import json
import re
import select
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.private import PrivateMachine
from sshd_hook import paths, questions
from sshd_hook.doctor import gate
from sshd_hook.doctor.codes import CODES
from sshd_hook.doctor.examined import Settings
from sshd_hook.doctor.findings import SEVERITIES
from tests.hosts import FOLDER, Host, PolicyCA
from tests.planted import (
    FAULTS,
    HARMLESS,
    NEWER,
    Fault,
)
from tests.planter import host_certificate, planting
from tests.plants import start_agent, start_user_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Examine = Callable[[], list[tuple[str, str]]]

DOCUMENT = Path(__file__).parent.parent / "docs" / "doctor.md"
# All checks, whenever a line is read: what `sshd-hook doctor --json` does in a process each time.
LOOP = f"""
import sys, time
sys.path.insert(0, "{paths.LIBRARY}")
from sshd_hook.doctor import report
for line in sys.stdin:
    print(report.as_object(report.findings(int(time.time()))), end="", flush=True)
"""
HANGS = 30  # seconds: a look-up that waits for a stopped user database takes 45

# Everything of ours but what comes and goes, and the homes.
OURS = (paths.PROGRAMS, paths.CONFIGURATION, paths.STATE, paths.RUN, paths.SSHD_DROP_IN)
FIND = 'find "$@" ! -type l ! -path "*/agent/.*"'
ABOVE = ("/usr/lib", "/etc", "/etc/ssh", "/etc/pam.d", "/var", "/var/lib", "/srv", "/run/systemd")


def codes(found: list[tuple[str, str]]) -> set[str]:
    return {code for code, _about in found}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host as it should be, but for an sshd, which tests start."""
    with PrivateMachine() as machine:
        host = Host(machine, PolicyCA(tmp_path_factory.mktemp("ca")))
        host.start_ca()
        joined = host.ca.joined() | {"host_certificates": [host_certificate(host)]}
        machine.path(f"{FOLDER}/joined.json").write_text(json.dumps(joined))
        enrolled = host.enroll()
        assert enrolled.status == 0, enrolled.err
        start_user_database(host)
        start_agent(host)
        yield host


@pytest.fixture(scope="module")
def examine(healthy: Host) -> Iterator[Examine]:
    """Examine the host: the codes that were found, and what each is about."""
    with healthy.machine.popen(("/usr/bin/python3", "-IS", "-c", LOOP)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ask, answer = process.stdin, process.stdout

        def run() -> list[tuple[str, str]]:
            ask.write("\n")
            ask.flush()
            assert select.select([answer], [], [], HANGS)[0], "it hangs"
            found = json.loads(answer.readline())["findings"]
            return [(one["code"], one["about"]) for one in found]

        yield run
        ask.close()


def test_a_healthy_host_is_found_healthy(healthy: Host) -> None:
    with planting(healthy) as planter:
        planter.start_sshd()
        shown = healthy.machine.run(paths.SSHD_HOOK, "doctor")

    assert (shown.out, shown.err, shown.status) == ("healthy\n", "", 0)


@pytest.mark.attack(51, 52, 64)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code)
def test_each_fault_is_found_by_its_code_alone(
    healthy: Host, examine: Examine, fault: Fault
) -> None:
    with planting(healthy) as planter:
        fault.plant(planter)
        found = examine()

    assert codes(found) == {fault.code} | fault.also, found


def test_everything_was_taken_away_again(examine: Examine) -> None:
    assert examine() == []


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_fault_is_not_found(healthy: Host, examine: Examine, name: str) -> None:
    with planting(healthy) as planter:
        HARMLESS[name](planter)
        found = examine()

    assert found == []


@pytest.mark.attack(49)
@pytest.mark.parametrize("folders", [OURS, ABOVE], ids=["ours", "above"])
@pytest.mark.parametrize("change", ["mode", "owner"])
def test_every_file_and_folder_that_others_may_change_is_found(
    healthy: Host, examine: Examine, folders: tuple[str, ...], change: str
) -> None:
    with planting(healthy) as planter:
        paths_ = planter.run("sh", "-c", FIND if folders is OURS else 'echo "$@"', "sh", *folders)
        for path in paths_.split():
            if change == "mode":
                planter.mode(path, planter.path(path).stat().st_mode & 0o7777 | 0o022)
            else:
                planter.owner(path, 1001)
        found = examine()

    named = {about.split(" ")[0] for _code, about in found}
    assert set(paths_.split()) <= named
    expected = f"path-{change}" if folders is OURS else "parent-unsafe"
    assert codes(found) == {expected}


def test_it_says_which_login_gets_around_the_hook(healthy: Host, examine: Examine) -> None:
    with planting(healthy) as planter:
        planter.for_services("PasswordAuthentication yes", match="Address 10.9.0.0/16")
        ((_code, about),) = examine()

    assert about.startswith(
        "`passwordauthentication yes` for a000000000000-probe--probe from 10.9."
    )


def test_every_code_has_a_planted_fault() -> None:
    assert {fault.code for fault in (*FAULTS, *NEWER)} == set(CODES)


@pytest.mark.parametrize("fault", NEWER, ids=lambda fault: fault.code)
def test_what_newer_versions_have_is_found_where_sshd_knows_it(
    healthy: Host, examine: Examine, fault: Fault
) -> None:
    keyword = "persourcepenalties" if fault.code == "penalties" else "pamservicename"
    known = keyword in healthy.machine.check("/usr/sbin/sshd", "-T")
    with planting(healthy) as planter:
        fault.plant(planter)
        found = examine()

    assert codes(found) == {fault.code if known else "sshd-config-invalid"}


@pytest.mark.attack(64)
@pytest.mark.parametrize(("service", "expected"), [("sshd", []), ("login", ["pam-service"])])
def test_pam_is_asked_by_the_file_that_has_our_lines(
    healthy: Host, service: str, expected: list[str]
) -> None:
    """What this sshd says, and the line more that one from 9.8 on does."""
    asked = ("/usr/sbin/sshd", "-T", "-C", questions.PLAIN.specification())
    lines = healthy.machine.check(*asked).splitlines(keepends=True)
    known = [line for line in lines if not line.startswith("pamservicename ")]
    settings = Settings("".join((*known, f"pamservicename {service}\n")))

    assert [one.code for one in gate._check(questions.PLAIN, settings)] == expected


def test_the_worst_comes_first_and_is_the_exit_status(healthy: Host) -> None:
    with planting(healthy) as planter:
        planter.sshd("LogLevel QUIET\n")
        warned = healthy.machine.run(paths.SSHD_HOOK, "doctor")
        planter.away(paths.BUNDLE)
        failed = healthy.machine.run(paths.SSHD_HOOK, "doctor")
        told = healthy.machine.run(paths.SSHD_HOOK, "doctor", "--json")

    assert (warned.status, failed.status, told.status) == (1, 2, 2)
    lines = failed.out.splitlines()
    assert lines[0] == f"fault bundle-missing: {CODES['bundle-missing'].wrong}: {paths.BUNDLE}"
    assert lines[1] == f"    {CODES['bundle-missing'].cure}"
    assert lines[2].startswith("warning log-level: ")
    assert lines[-1] == "faults: 1, warnings: 1"
    answer = json.loads(told.out)
    assert answer["status"] == 2
    assert answer["findings"][0] == {
        "code": "bundle-missing",
        "severity": "fault",
        "wrong": CODES["bundle-missing"].wrong,
        "about": paths.BUNDLE,
        "cure": CODES["bundle-missing"].cure,
    }


def test_what_others_wrote_cannot_forge_a_line(healthy: Host) -> None:
    with planting(healthy) as planter:
        planter.away(f"{paths.LIBRARY}/sshd_hook/refuse.py")
        link = planter.path(f"{paths.LIBRARY}/sshd_hook/refuse.py")
        link.symlink_to("x\nhealthy\x1b[2J")
        planter.undo(link.unlink)
        shown = healthy.machine.run(paths.SSHD_HOOK, "doctor")

    assert "healthy" not in shown.out.splitlines()
    assert "\x1b" not in shown.out


def test_a_machine_that_never_was_a_host_hears_that_alone(fresh_host: Host) -> None:
    shown = fresh_host.command("doctor", "--json")

    assert shown.status == 2
    assert [one["code"] for one in json.loads(shown.out)["findings"]] == ["not-enrolled"]


def test_its_help_says_what_the_exit_status_means(healthy: Host) -> None:
    words = " ".join(healthy.machine.check(paths.SSHD_HOOK, "doctor", "--help").split())

    assert "Exit status: 0 healthy, 1 warnings, 2 faults, 3 it could not look." in words
    assert "Example: sshd-hook doctor" in words


def test_who_is_not_root_cannot_look(healthy: Host) -> None:
    shown = healthy.machine.run(paths.SSHD_HOOK, "doctor", user="alice")

    assert shown.status == 3
    assert (shown.out, shown.err) == ("", "sshd-hook: this needs root: run it with sudo\n")


@pytest.mark.parametrize("code", CODES)
def test_each_code_says_what_and_how_in_one_line_each(code: str) -> None:
    assert re.fullmatch("[a-z]+(-[a-z]+)*", code)
    for words in (CODES[code].wrong, CODES[code].cure):
        assert words.isprintable()
        assert words.strip() == words != ""
    assert CODES[code].cure.endswith(".")


def test_the_document_has_every_code_with_its_cure() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]

    assert rows == [
        f"| `{name}` | {SEVERITIES[code.severity]} | {code.wrong} | {code.cure} |"
        for name, code in CODES.items()
    ]


# --- which logins sshd is asked about -------------------------------------------------------

patterns = st.text("ab*?-", max_size=8)


@given(patterns, patterns)
def test_what_is_common_to_two_patterns_fits_both(one: str, other: str) -> None:
    found = questions.common(one, other)

    if found is not None:
        assert fits(found, one)
        assert fits(found, other)


@given(st.text("ab-", max_size=6), st.data())
def test_where_a_name_fits_two_patterns_something_common_is_found(
    name: str, data: st.DataObject
) -> None:
    one, other = (data.draw(st.sampled_from(blurred(name))) for _ in "12")

    assert questions.common(one, other) is not None


def blurred(name: str) -> list[str]:
    """Patterns that a name fits."""
    cuts = [f"{name[:at]}*{name[to:]}" for at in range(len(name)) for to in range(at, len(name))]
    return [name, "*", name.replace("a", "?"), *cuts]


def fits(name: str, pattern: str) -> bool:
    words = {"*": ".*", "?": "."}
    return bool(re.fullmatch("".join(words.get(one, re.escape(one)) for one in pattern), name))

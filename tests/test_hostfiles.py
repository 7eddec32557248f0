"""The host's files that enrolling adds to, and that come back to the letter."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshd_hook import hostfiles, paths

DEBIAN = "passwd:         files\ngroup:          files\nshadow:         files\nhosts: files dns\n"


@pytest.mark.parametrize(
    ("group", "initgroups"),
    [
        ("files", "files"),
        ("files systemd", "files"),
        ("files sss", "files sss"),
        ("files [SUCCESS=merge] systemd", "files"),
        ("files [SUCCESS=merge] systemd ldap", "files [SUCCESS=merge] ldap"),
        ("files systemd [NOTFOUND=return] ldap", "files ldap"),
        ("systemd", "files"),
    ],
)
def test_groups_of_everybody_are_not_asked_of_us(group: str, initgroups: str) -> None:
    text = hostfiles.add_name_service(DEBIAN.replace("group:          files", f"group: {group}"))

    found = dict(line.split(":", 1) for line in text.splitlines() if line[0] != "#")

    assert found["initgroups"].split() == initgroups.split()
    assert all("systemd" in found[name] for name in ("passwd", "group", "shadow"))


databases = st.sampled_from(["passwd", "group", "shadow", "initgroups", "gshadow", "hosts"])
sources = st.sampled_from(["files", "systemd", "sss", "ldap", "[NOTFOUND=return]", "# note"])
rows = st.builds("{}: {}".format, databases, st.lists(sources, max_size=5).map(" ".join))


@given(st.lists(rows | st.sampled_from(["", "# comment", "garbage"]), max_size=8))
def test_the_name_services_file_comes_back_to_the_letter(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)

    added = hostfiles.add_name_service(text)

    assert hostfiles.remove_name_service(added) == text
    assert hostfiles.add_name_service(added) == added


def install_sssd(text: str) -> str:
    """As `libnss-sss` does: administrators are found in a directory from now on."""
    return re.sub(r"(?m)^((passwd|group|shadow):.*)$", r"\1 sss", text)


@given(st.lists(rows | st.sampled_from(["", "# comment"]), max_size=8))
def test_a_directory_that_was_added_since_stays(lines: list[str]) -> None:
    enrolled = hostfiles.add_name_service("".join(f"{line.split('#')[0]}\n" for line in lines))
    text = install_sssd(enrolled)

    again = hostfiles.add_name_service(text)
    undone = hostfiles.remove_name_service(again)

    for database in ("passwd", "group", "shadow"):
        assert "sss" in hostfiles.sources(again, database)
        assert "sss" in hostfiles.sources(undone, database)
        assert "systemd" in hostfiles.sources(again, database)
    assert hostfiles.add_name_service(again) == again
    assert "# before" not in undone


def test_what_was_added_to_groups_is_asked_for_everybodys_groups_too() -> None:
    text = install_sssd(hostfiles.add_name_service(DEBIAN))

    again = hostfiles.add_name_service(text)

    assert hostfiles.sources(again, "initgroups") == ["files", "sss"]
    assert hostfiles.remove_name_service(again) == install_sssd(DEBIAN)


def test_an_operators_own_line_for_groups_stays() -> None:
    enrolled = hostfiles.add_name_service(DEBIAN)
    text = enrolled.replace("initgroups:     files", "initgroups: files ldap")

    undone = hostfiles.remove_name_service(hostfiles.add_name_service(text))

    assert hostfiles.sources(undone, "initgroups") == ["files", "ldap"]


def test_a_line_of_ours_that_was_removed_takes_no_other_with_it() -> None:
    enrolled = hostfiles.add_name_service(DEBIAN)
    text = enrolled.replace("shadow:         files systemd\n", "")

    assert hostfiles.remove_name_service(text) == DEBIAN


@pytest.mark.parametrize("has_shadow", [True, False])
def test_pams_file_comes_back_to_the_letter(*, has_shadow: bool) -> None:
    text = "# PAM\n@include common-auth\naccount    required     pam_nologin.so\nsession x y\n"

    added = hostfiles.add_pam(text, 400_000, has_shadow=has_shadow)

    lines = [line for line in added.splitlines() if line[0] != "#"]
    assert lines[0].startswith("account [success=ignore default=1] pam_succeed_if.so")
    assert lines[1] == f"account requisite pam_exec.so quiet stdout {paths.ACCOUNT}"
    nologin = lines.index("account    required     pam_nologin.so")
    assert ("uid >= 400000 uid <= 499999" in lines[nologin + 1]) is not has_shadow
    assert not any(
        word.startswith("[") for line in lines for word in line.split()[2:] if "=" in word
    )
    assert hostfiles.remove_pam(added) == text
    assert hostfiles.add_pam(added, 400_000, has_shadow=has_shadow) == added


def test_keywords_that_sshd_does_not_know_are_left_out() -> None:
    old = hostfiles.drop_in(frozenset())
    new = hostfiles.drop_in(frozenset({"persourcepenalties", "requiredrsasize"}), ["/a", "/b"])

    assert "PerSource" not in old
    assert "RSA" not in old
    lines = [line for line in new.splitlines() if line[0] != "#"]
    assert lines[:4] == [
        "PerSourcePenalties authfail:0",
        "HostCertificate /a",
        "HostCertificate /b",
        "Match User ?????????????-*--*",
    ]

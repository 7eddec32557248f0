"""Nothing that the principals command prints is outside of its alphabet."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sshd_hook import verdict
from sshd_hook.answer import DeniedError, answer_to
from sshd_hook.certificate import parse
from sshd_hook.wire import b64
from tests.answers import GOOD, POLICY, code_of, shown
from tests.certificates import (
    ALICE,
    HANDLE,
    NOW,
    authority,
    extensions,
    user_certificate,
)
from tests.questions import (
    FOREIGN,
    GUARDED,
    NOWHERE,
    SERVICE,
    arguments,
)

PRINTED = re.compile(
    r"(?:restrict,pty,agent-forwarding,X11-forwarding"
    r'(?:,port-forwarding(?:,permitopen="[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}")+)?'
    r'(?:,from="[0-9a-f.:/]+(?:,[0-9a-f.:/]+)*")?'
    r'|restrict,pty,command="/usr/lib/amrgate/refuse [A-Za-z0-9_-]+")'
    r" [A-Za-z0-9][A-Za-z0-9._@-]{0,63}\n"
)
"""All that may ever reach sshd."""


anything = st.text() | st.text("#\"\\,; \n\r\t\0'`$()*?-@éＡ\u202e", max_size=12)
mutable = {
    "key_id": anything,
    "principals": st.lists(anything, max_size=3).map(tuple),
    "serial": st.integers(0, 2**64 - 1),
    "kind": st.integers(0, 3),
    "valid_after": st.sampled_from([0, NOW - 60, NOW + 1]),
    "extensions": st.builds(
        extensions,
        amr=st.none() | anything | st.sampled_from(["pwd", "mfa,otp,pwd"]),
        auth_time=st.none() | st.sampled_from([str(NOW), "x", "-1"]),
        via=st.none() | anything,
        name=st.none() | anything,
        session=st.just(HANDLE) | anything,
    ),
}
changes = st.fixed_dictionaries({}, optional=mutable)
login_names = st.sampled_from([SERVICE, GUARDED, FOREIGN, NOWHERE, f"{SERVICE}--1"])
replacements = st.lists(st.tuples(st.integers(0, 6), anything), max_size=2)


def seldom(strange: st.SearchStrategy[Any], usual: st.SearchStrategy[Any]) -> Any:
    """Mostly `usual`: what is wrong in one way only gets furthest."""
    return st.integers(0, 3).flatmap(lambda number: usual if number else strange)


@pytest.mark.attack(9, 10, 11, 12, 13)
def test_nothing_but_this_alphabet_is_ever_printed() -> None:
    codes: Counter[str] = Counter()

    @settings(max_examples=500)
    @given(
        seldom(changes, st.just({}) | st.fixed_dictionaries({"extensions": mutable["extensions"]})),
        seldom(anything, login_names),
        seldom(replacements, st.just([])),
    )
    def look(changed: dict[str, Any], name: str, replaced: list[tuple[int, str]]) -> None:
        words = arguments(user_certificate(**changed), name)
        for place, word in replaced:
            words[place] = word
        codes[check_output(words)] += 1

    look()
    assert min(codes["allowed"], codes["no_access"], codes["bad_certificate"]) > 15, codes


def check_output(words: list[str]) -> str:
    """Ask, and return the code of the answer, every byte of which is as it may be."""
    try:
        answer = answer_to(words, NOW, POLICY)
    except DeniedError as denied:
        return denied.code
    assert PRINTED.fullmatch(answer.line)
    assert answer.line.encode("ascii").endswith(f" {words[2]}\n".encode())
    assert len(answer.note) <= verdict.MAX_NOTE
    logged = "".join(answer.details.values())
    assert re.fullmatch(r"[A-Za-z0-9@.,:_-]+", logged)
    if answer.ending == verdict.REFUSED:
        lines = shown(answer).replace("\t", "").splitlines()
        assert all(line.isprintable() for line in lines)
        assert lines[1:2] == [f"Service: {words[0]}"]
    else:
        assert verdict.parse(answer.note).user == words[2]
    return answer.code


@pytest.mark.parametrize("name", ["Zoë", "名前 Ω", "a b-c.d'e", "🙂"])
def test_a_name_beyond_ascii_is_shown_and_not_printed(name: str) -> None:
    words = arguments(user_certificate(extensions=extensions(name=name)), NOWHERE)
    assert check_output(words) == "no_access"
    assert f"User: {name} ({ALICE})\n" in shown(answer_to(words, NOW, POLICY))


@pytest.mark.parametrize("name", ["a\nError", "a\x1b[2J", "a\u202eb", "Zoe\u0308", '"', "x" * 65])
def test_a_name_that_could_deceive_is_shown_as_the_id(name: str) -> None:
    words = arguments(user_certificate(extensions=extensions(name=name)), NOWHERE)
    assert f"User: {ALICE} ({ALICE})\n" in shown(answer_to(words, NOW, POLICY))


@pytest.mark.attack(4)
@settings(max_examples=500)
@given(st.data())
def test_a_certificate_with_flipped_bits_gives_no_other_line(data: st.DataObject) -> None:
    """sshd has verified the signature; here it is as if it had not."""
    blob = bytearray(authority().certify(user_certificate()))
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    words = [*GOOD[:6], b64(bytes(blob))]
    try:
        parse(bytes(blob))
    except ValueError:
        assert code_of(words) == "bad_certificate"
    else:
        assert check_output(words) in {"allowed", *DENIALS}


DENIALS = {"bad_certificate", "disagreement", "not_valid_now"}

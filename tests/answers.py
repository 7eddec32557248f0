"""The principals command asked as a function, and what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sshd_hook import refuse
from sshd_hook.answer import Answer, DeniedError, Policy, answer_to
from sshd_hook.refusal import render, to_fields
from tests.certificates import (
    NOW,
    user_certificate,
)
from tests.questions import (
    SERVICE,
    arguments,
    reading,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sshd_hook.certificate import Certificate

POLICY = reading()


def ask(
    certificate: Certificate | None = None,
    name: str = SERVICE,
    policy: Callable[[], Policy] = POLICY,
    now: int = NOW,
) -> Answer:
    return answer_to(arguments(certificate or user_certificate(), name), now, policy)


def code_of(words: list[str], now: int = NOW, policy: Callable[[], Policy] | None = None) -> str:
    """The code for which there is no answer; the policy is not even opened but if given."""
    with pytest.raises(DeniedError) as denied:
        answer_to(words, now, policy or pytest.fail)
    assert denied.value.reason.isprintable()
    assert str(denied.value) == denied.value.reason
    return denied.value.code


def shown(answer: Answer) -> str:
    """The text of a refusing answer, the same on both ways to the person."""
    word = answer.line.split('"')[1].split(" ")[1]
    refusal = refuse.from_word(word)
    assert to_fields(refusal) == answer.note
    return render(refusal)


GOOD = arguments(user_certificate())

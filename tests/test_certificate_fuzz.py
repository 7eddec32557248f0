"""Tens of thousands of broken certificates: what ours takes, nobody else refuses."""

from __future__ import annotations

import random

from tests.fuzz.certificates import Certificates

COUNT = 40_000  # `make fuzz` goes on for as long as it may


def test_no_broken_certificate_is_taken_that_another_reader_refuses() -> None:
    run = Certificates()
    source = random.Random(1)
    for _ in range(COUNT):
        run.execute(source)
    run.finish()
    assert not run.disagreements, run.disagreements[:5]
    # Of what was taken much was still broken, in fields that may be anything; each rule was met.
    assert run.seen["taken"] == run.seen["shown to ssh-keygen"] > COUNT // 50
    assert run.seen["taken and allowed"] > COUNT // 200
    assert run.seen["taken and not_valid_now"] > COUNT // 200
    assert run.seen["refused, signed before it was broken"] > COUNT // 50
    assert len(run.seen) > 30, run.seen

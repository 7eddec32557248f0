"""`python -m demo`: see the main job done, in a minute."""

import hashlib
import os
import sys
from pathlib import Path

from demo.stage import DemoError, Stage
from demo.story import Story
from machine.needs import MachineError
from machine.private import PrivateMachine

OURS_TO_LEAVE_ALONE = ("/etc/ssh", "/etc/pam.d", "/etc/passwd", "/etc/nsswitch.conf")


def main() -> int:
    """Tell the story; 0 if every step went as it must, 130 if it was interrupted, else 1."""
    try:
        with PrivateMachine() as machine:
            before = fingerprint()
            stage = Stage(machine)
            stage.say(
                "All of this runs in a private machine: namespaces of its own. Output that is wider"
                " than this terminal is folded, and … stands for the rest of a word."
            )
            with stage.log_shown_on_failure():
                Story(stage).tell()
            stage.title("9. Everything is taken down")
        stage.expect("this machine's sshd, PAM and users are untouched", fingerprint(), before)
        stage.end()
    except (DemoError, MachineError) as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: everything is taken down.", file=sys.stderr)  # noqa: T201
        return 130
    return 0


def fingerprint() -> str:
    """One hash over the machine's own files that a login rests on, as far as one may read them."""
    digest = hashlib.sha256()
    for top in map(Path, OURS_TO_LEAVE_ALONE):
        for path in sorted([top, *top.rglob("*")]):
            readable = path.is_file() and os.access(path, os.R_OK)
            digest.update(str(path).encode() + (path.read_bytes() if readable else b""))
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m demo`: see the main job done, in a minute."""

import hashlib
import sys
from pathlib import Path

from demo.stage import DemoError, Stage
from demo.story import Story
from machine.private import MachineError, PrivateMachine

OURS_TO_LEAVE_ALONE = ("/etc/ssh", "/etc/pam.d", "/etc/passwd", "/etc/nsswitch.conf")


def main() -> int:
    """Tell the story; 0 if every step went as it must."""
    try:
        with PrivateMachine() as machine:
            before = fingerprint()
            stage = Stage(machine)
            stage.say("All of this runs in a private machine: namespaces of its own.")
            Story(stage).tell()
            stage.title("9. Everything is taken down")
        stage.expect("this machine's sshd, PAM and users are untouched", fingerprint(), before)
        stage.end()
    except (DemoError, MachineError) as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def fingerprint() -> str:
    """One hash over the machine's own files that a login rests on."""
    digest = hashlib.sha256()
    for top in map(Path, OURS_TO_LEAVE_ALONE):
        for path in sorted([top, *top.rglob("*")]):
            digest.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())

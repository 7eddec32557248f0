"""Makes the private machine a host without a CA: what `sshd-hook enroll` does before and after."""

from sshd_hook import enroll, hostfiles, paths, preflight
from sshd_hook.changes import Changes


def main() -> None:
    """Prepare the machine and open the gate; the policy is for the tests to write."""
    known = preflight.check()
    changes = Changes()
    enroll.prepare(changes)
    changes.write(paths.SSHD_DROP_IN, hostfiles.drop_in(known).encode())
    preflight.check_gate()


if __name__ == "__main__":
    main()

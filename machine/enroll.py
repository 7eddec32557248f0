"""Makes the private machine a host without a CA: what `sshd-hook enroll` does before and after."""

from sshd_hook import hostfiles, paths, preflight, prepare
from sshd_hook.changes import Changes


def main() -> None:
    """Prepare the machine and open the gate; the policy is for the tests to write."""
    ready = preflight.check()
    changes = Changes()
    prepare.prepare(changes)
    changes.put(paths.SSHD_DROP_IN, hostfiles.drop_in(ready.keywords))
    preflight.check_gate()


if __name__ == "__main__":
    main()

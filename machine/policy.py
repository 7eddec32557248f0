"""Puts a policy in place in the private machine, as the agent does with one that it verified.

Run there as `python -m machine.policy`, with a JSON object on standard input: the names of the
services, and the bundle, the statement and the revocation list in base64.
"""

import base64
import grp
import json
import sys

from sshd_hook import atomic, bundle, paths
from sshd_hook.agent import apply


def main() -> None:
    """Install what standard input has, in the agent's order."""
    given = json.load(sys.stdin)
    data, fresh, krl = (base64.b64decode(given[name]) for name in ("bundle", "fresh", "krl"))
    found = bundle.from_bytes(data)
    placement = atomic.Placement(0o640, gid=grp.getgrnam(paths.HOOK_USER).gr_gid)
    apply.install_revocation_list(krl)
    apply.install_authorities(found.authorities)
    apply.install_accounts(found, tuple(given["services"]))
    atomic.write(paths.BUNDLE, data, placement)
    atomic.write(paths.FRESH, fresh, placement)


if __name__ == "__main__":
    main()

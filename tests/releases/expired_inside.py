"""Host certificates that ended yesterday, by a CA in a private machine: as of a host long switched off.

Run as `python -m tests.releases.expired_inside DATA PASSPHRASE-FILE`, with a host's certificates on
standard input, one a line. For each it prints one for the same key and names.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ca import settings
from ca.issuance import draft, host
from ca.issuance.sign import Host, Issuer
from ca.keys import keyring
from ca.store.engine import open_engine
from sshd_hook.agent.host_certificates import DAY, read


def main(data: Path, passphrase: bytes) -> None:
    issuer = Issuer(open_engine(settings.read(data).database), keyring.unlock(data, passphrase))
    then = int(time.time()) - draft.HOST_LIFETIME - DAY
    for line in sys.stdin:
        old = read(line.strip())
        subject = Host(old.key_id, old.principals)
        print(host.issue(issuer, subject, old.public_key, then))
    issuer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes().strip())

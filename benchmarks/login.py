"""What the hook and the account program add to a login: one that is allowed, timed by ssh's end.

Beside each login stands the same one, with the same certificate and account, at an sshd that reads
the principal from a static file and has none of our lines in PAM. Both are Debian's sshd with
`UsePAM yes`, in a private machine.
"""

from __future__ import annotations

import json
import statistics

from benchmarks.figures import Figure, Yardstick, spread
from machine.host import Host, Service
from machine.people import IDS
from machine.private import Machine, PrivateMachine

NAMES = tuple(f"abcdefg123456-main-bvxea6i--app{number}" for number in range(8))
PAIRS = 120
STATIC_PORT = 2222
STATIC = "/usr/local/sbin/sshd-static"
PAM_NAME = "sshd-static"
CONFIG = f"""\
Port {STATIC_PORT}
UsePAM yes
KbdInteractiveAuthentication no
TrustedUserCAKeys /etc/amrgate/user_ca.pub
RevokedKeys /etc/amrgate/revoked.krl
AuthorizedPrincipalsFile /etc/ssh/static_principals
AuthorizedKeysFile none
PidFile none
AcceptEnv LANG LC_*
"""
# Timed within the machine, by the person's own process: entering it would be a part of both.
TIMER = """
import json, subprocess, sys, time
pairs, names, ports = int(sys.argv[1]), sys.argv[2].split(), sys.argv[3:]
times = [[] for _ in ports]
for turn in range(-len(names), pairs):
    for port, taken in zip(ports, times):
        there = names[turn % len(names)] + "@ssh.acme.example"
        words = ["ssh", "-p", port, "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
                 "-o", "UserKnownHostsFile=/dev/null", there, "true"]
        start = time.perf_counter()
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        if turn >= 0:
            taken.append(time.perf_counter() - start)
print(json.dumps(times))
"""


def measure() -> list[Figure]:
    """`login_ratio`: the median login with the hook over the median with a static file."""
    with PrivateMachine() as machine:
        host = Host(machine)
        host.set_policy({name: Service() for name in NAMES})
        host.certify("alice")
        start_static(machine)
        words = ("/usr/bin/python3", "-c", TIMER, str(PAIRS), " ".join(NAMES))
        ran = machine.run(*words, "22", str(STATIC_PORT), user="alice", seconds=300)
        if ran.status:
            raise RuntimeError(ran.err)
        hooked, static = json.loads(ran.out)
    ratios = [one / other for one, other in zip(hooked, static, strict=True)]
    yardstick = statistics.median(static)
    value = statistics.median(hooked) / yardstick
    beside = Yardstick("login with a static file, ms", round(1000 * yardstick, 2))
    return [
        Figure("login_ratio", round(value, 3), "ratio", beside, PAIRS, round(spread(ratios), 3))
    ]


def start_static(machine: Machine) -> None:
    """Start the other sshd. PAM's service is named as the program, or as it is told from 9.8 on."""
    pam = machine.path("/etc/pam.d/sshd").read_text().splitlines(keepends=True)
    ours = ("amrgate", "pam_succeed_if.so quiet user =~")
    kept = [line for line in pam if not any(word in line for word in ours)]
    machine.path(f"/etc/pam.d/{PAM_NAME}").write_text("".join(kept))
    machine.path("/etc/ssh/static_principals").write_text(f"{IDS['alice']}\n")
    machine.path("/etc/ssh/static.conf").write_text(CONFIG)
    program = STATIC
    if "pamservicename" in machine.check("/usr/sbin/sshd", "-T"):
        program = "/usr/sbin/sshd"
        machine.path("/etc/ssh/static.conf").write_text(f"{CONFIG}PAMServiceName {PAM_NAME}\n")
    else:
        machine.check("install", "-D", "/usr/sbin/sshd", program)
    machine.spawn(program, "-D", "-e", "-f", "/etc/ssh/static.conf", log="/var/log/static.log")
    machine.check("sh", "-c", f"until ssh-keyscan -p {STATIC_PORT} 127.0.0.1; do :; done 2>&1")

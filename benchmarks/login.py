"""What the hook and the account program add to a login: one that is allowed, timed by ssh's end.

Beside each login stands the same one, with the same certificate and account, at an sshd that reads
the principal from a static file and has none of our lines in PAM. Both are Debian's sshd with
`UsePAM yes` and all else the same, in a private machine.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

from benchmarks.figures import Figure, Yardstick, spread
from machine.host import Host, Service
from machine.people import IDS
from machine.private import Machine, PrivateMachine
from sshd_hook import hostfiles, paths

# sshd rounds the time of each try up to a delay of its own for each name, drawn by its host key,
# or a power of two times that: over a few names, chance would decide.
NAMES = tuple(f"abcdefg123456-main-bvxea6i--app{number}" for number in range(40))
PAIRS = 120
HOOKED, STATIC = 2221, 2222
ALTERED = "/etc/ssh/static"  # the files that the static sshd sees in the place of the host's
PAM = "/etc/pam.d/sshd"
# What sshd draws the delays by are its host key and main file, so both sshds have the same ones.
SERVE = "exec /usr/sbin/sshd -D -e -o PidFile=none -o MaxStartups=500 -o Port="
REPLACE = f"""\
mount --bind {ALTERED}/drop-in {paths.SSHD_DROP_IN}
mount --bind {ALTERED}/pam {PAM}
"""
# Timed within the machine, by the person's own process: entering it would be a part of both.
TIMER = """
import json, subprocess, sys, time
pairs, names, ports = int(sys.argv[1]), sys.argv[2].split(), sys.argv[3:]
times = {port: [] for port in ports}
for turn in range(-4, pairs):
    ports.reverse()
    for port in ports:
        there = names[turn % len(names)] + "@ssh.acme.example"
        words = ["ssh", "-p", port, "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
                 "-o", "UserKnownHostsFile=/dev/null", there, "true"]
        start = time.perf_counter()
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        if turn >= 0:
            times[port].append(time.perf_counter() - start)
print(json.dumps(times))
"""


def measure() -> list[Figure]:
    """`login_ratio`: the median of what a login with the hook takes over one with a static file."""
    times = timed(TIMER, str(PAIRS), seconds=300)
    static = times[str(STATIC)]
    ratios = [one / other for one, other in zip(times[str(HOOKED)], static, strict=True)]
    value = statistics.median(ratios)
    beside = Yardstick("login with a static file, ms", round(1000 * statistics.median(static), 2))
    return [
        Figure("login_ratio", round(value, 3), "ratio", beside, PAIRS, round(spread(ratios), 3))
    ]


def timed(timer: str, counts: str, seconds: float) -> dict[str, Any]:
    """What alice's program `timer` says of logins at both sshds: told how many, whereto, both ports."""
    with PrivateMachine() as machine:
        host = Host(machine)
        host.set_policy({name: Service() for name in NAMES})
        host.certify("alice")
        _start(machine, HOOKED, SERVE)
        _alter(machine)
        _start(machine, STATIC, REPLACE + SERVE)
        words = ("/usr/bin/python3", "-c", timer, counts, " ".join(NAMES))
        ran = machine.run(*words, str(HOOKED), str(STATIC), user="alice", seconds=seconds)
    if ran.status:
        raise RuntimeError(ran.err)
    said: dict[str, Any] = json.loads(ran.out)
    return said


def _alter(machine: Machine) -> None:
    """Write the static sshd's files: the host's, but for the hook's lines and the gate's in PAM."""
    drop_in = machine.path(paths.SSHD_DROP_IN).read_text().splitlines(keepends=True)
    kept = "".join(line for line in drop_in if "AuthorizedPrincipals" not in line)
    folder = machine.path(ALTERED)
    folder.mkdir()
    (folder / "drop-in").write_text(f"{kept}    AuthorizedPrincipalsFile {ALTERED}/principals\n")
    (folder / "principals").write_text(f"{IDS['alice']}\n")
    ours = hostfiles.template("pam-account")
    (folder / "pam").write_text(machine.path(PAM).read_text().replace(ours, ""))


def _start(machine: Machine, port: int, script: str) -> None:
    """Start an sshd at a port by a shell script, in a mount namespace of its own."""
    words = ("unshare", "--mount", "sh", "-ec", f"{script}{port}")
    machine.spawn(*words, log=f"/var/log/sshd-{port}.log")
    machine.check("sh", "-c", f"until ssh-keyscan -p {port} 127.0.0.1; do :; done 2>&1")


if __name__ == "__main__":
    print(*measure(), sep="\n")

"""The command `sshd-hook`: what an operator, or the service manager, runs on an SSH host."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from sshd_hook import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 128 + signal.SIGINT
FAILED = 1  # argparse itself ends with 2 for a wrong command line


class CommandError(Exception):
    """What went wrong, in one line for whoever typed the command."""


def main() -> None:
    """Run the command and end this process with its exit status."""
    # What is made here is for sshd, PAM and other users to read, and never for them to write.
    os.umask(0o022)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if (
        asked.run is run_enroll
        and len({asked.ca is None, asked.token is None, asked.name is None}) > 1
    ):
        parser.error("enroll: --ca, --token and --name belong together")
    try:
        asked.run(asked)
    except CommandError as error:
        words = "; ".join(str(error).splitlines())  # sshd says more than one at times
        sys.stderr.write(f"sshd-hook: {words}\n")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def run_enroll(asked: argparse.Namespace) -> None:
    """Set this host up."""
    from sshd_hook import enroll

    invitation = None
    if asked.token is not None:
        given = (asked.ca, _token(asked.token), asked.name, asked.ca_file, asked.ca_pin)
        invitation = enroll.Invitation(*given)
    request = enroll.Request(invitation, asked.admin, asked.admin_key)
    try:
        enroll.enroll(request, dry_run=asked.dry_run)
    except enroll.EnrollError as error:
        raise CommandError(str(error)) from error


def _token(said: str) -> str:
    """The join token; `-` is for standard input, for everybody on a machine sees command lines."""
    if said != "-":
        return said
    if sys.stdin.isatty():
        sys.stdout.write("Join token: ")
        sys.stdout.flush()
    return sys.stdin.readline().strip()


def run_unenroll(asked: argparse.Namespace) -> None:
    """Undo what enroll did."""
    from sshd_hook import enroll, unenroll

    try:
        unenroll.unenroll(dry_run=asked.dry_run)
    except enroll.EnrollError as error:
        raise CommandError(str(error)) from error


def run_agent(asked: argparse.Namespace) -> None:
    """Follow the CA."""
    from sshd_hook.agent import daemon

    _need_root()
    try:
        if asked.once:
            daemon.once()
        else:
            daemon.main()
    except daemon.FAILURES as error:
        raise CommandError(str(error) or type(error).__name__) from error


def run_userdb(asked: argparse.Namespace) -> None:
    """Answer for the names of services, or see to it that somebody does."""
    if asked.supervise:
        _supervise()
    else:
        _serve()


def run_status(_asked: argparse.Namespace) -> None:
    """Say what this host obeys, and until when."""
    from sshd_hook import status

    _need_root()
    try:
        lines, good = status.report(int(time.time()))
    except status.StatusError as error:
        raise CommandError(str(error)) from error
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if not good:
        raise CommandError("this host refuses, or soon will: see above")


def run_doctor(asked: argparse.Namespace) -> None:
    """Say what is wrong with this host; its exit status is for monitoring."""
    from sshd_hook.doctor import report

    sys.exit(report.run(as_json=asked.json))


def _serve() -> None:
    from sshd_hook import service, userdb

    try:
        listeners = service.listeners()
    except service.NotPassed:
        raise CommandError(
            "no socket was passed: start amrgate-userdb.socket,"
            " or `sshd-hook userdb --supervise` where there is no systemd"
        ) from None
    notifier = service.Notifier()
    place = service.Place(paths.USERDB_SOCKET)

    def alive() -> None:
        notifier.alive()
        place.leave_when_taken()

    notifier.ready()
    userdb.serve(listeners, userdb.Book(paths.UIDS, paths.HOMES), alive)


def _supervise() -> None:
    from sshd_hook.agent import supervise

    _need_root()
    try:
        supervisor = supervise.of_this_host()
    except KeyError:
        raise CommandError("this host is not enrolled: run `sshd-hook enroll` first") from None
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    try:
        supervisor.run()
    finally:
        supervisor.stop()


def _need_root() -> None:
    if os.geteuid() != 0:
        raise CommandError("this needs root: run it with sudo")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sshd-hook",
        description="Let sshd decide by how somebody logged in.",
        epilog="Example: sshd-hook enroll --ca https://ca.example.com --ca-file ca.pem"
        " --token T --name ssh1 --admin none",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = commands.add_parser(
        "enroll",
        help="make this a host of a CA",
        description="Make this a host of a CA: everything, or, if a step fails, nothing."
        " On a host of it, mend what is missing; then no token is needed.",
        epilog="Example: sshd-hook enroll --ca https://ca.example.com --ca-pin sha256:5f70…"
        " --token T --name ssh1 --admin admin --admin-key /root/key --dry-run",
    )
    command.add_argument("--ca", metavar="URL", help="the CA's address")
    command.add_argument(
        "--token", help="the join token, from `amrgate-ca host token`; - to read it"
    )
    command.add_argument("--name", help="this host's name at the CA")
    trust = command.add_mutually_exclusive_group()
    trust.add_argument("--ca-file", metavar="FILE", help="who may sign the CA's HTTPS certificate")
    trust.add_argument(
        "--ca-pin", metavar="sha256:HEX", help="the SHA-256 of that file, which is fetched"
    )
    command.add_argument(
        "--admin",
        metavar="USER[@HOST][:PORT]",
        help="who administers this machine by ssh: they log in before and after; or none",
    )
    command.add_argument("--admin-key", metavar="FILE", help="their private key, to log in with")
    command.add_argument("--dry-run", action="store_true", help="say what would be done")
    command.set_defaults(run=run_enroll)

    command = commands.add_parser(
        "unenroll",
        help="undo enroll",
        description="Undo enroll. The services' files and the map of their uids are kept.",
        epilog="Example: sshd-hook unenroll --dry-run",
    )
    command.add_argument("--dry-run", action="store_true", help="say what would be done")
    command.set_defaults(run=run_unenroll)

    command = commands.add_parser(
        "agent",
        help="follow the CA",
        description="Fetch what the CA decides by, as it changes, and put it in place.",
        epilog="Example: sshd-hook agent --once",
    )
    command.add_argument("--once", action="store_true", help="fetch it once and end")
    command.set_defaults(run=run_agent)

    command = commands.add_parser(
        "userdb",
        help="answer for the names of services",
        description="Make the names of services accounts of this machine, for the name service.",
        epilog="Example: sshd-hook userdb --supervise",
    )
    command.add_argument(
        "--supervise", action="store_true", help="keep one running, where systemd does not"
    )
    command.set_defaults(run=run_userdb)

    command = commands.add_parser(
        "status",
        help="say what this host obeys",
        description="Say what this host obeys, and until when. Status 1 if that is not enough.",
        epilog="Example: sshd-hook status",
    )
    command.set_defaults(run=run_status)

    command = commands.add_parser(
        "doctor",
        help="say what is wrong with this host",
        description="Say what is wrong with this host, and how to mend it. Exit status: 0 healthy,"
        " 1 warnings, 2 faults, 3 it could not look.",
        epilog="Example: sshd-hook doctor --json",
    )
    command.add_argument("--json", action="store_true", help="as one JSON object")
    command.set_defaults(run=run_doctor)
    return parser


if __name__ == "__main__":
    main()

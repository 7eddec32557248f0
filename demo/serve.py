"""A development server with the example's company, in build/serve: `make serve`."""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from demo.company import CA, EXAMPLE, PEOPLE

FOLDER = Path("build/serve")
DATA, PASSPHRASE, PASSWORDS = FOLDER / "ca", FOLDER / "passphrase", FOLDER / "passwords"
FOUNDED = FOLDER / "founded"
PROGRAM = str(Path(sys.executable).parent / "amrgate-ca")


def main() -> None:
    """Make the CA the first time, and serve."""
    if not FOUNDED.exists():  # or not to the end
        shutil.rmtree(FOLDER, ignore_errors=True)
        found()
        FOUNDED.touch()
    else:  # perhaps by an earlier version
        operate("upgrade")
    say(f"Everybody's password is in {PASSWORDS}/NAME. Log in at {CA}/ and end this with Ctrl-C.")
    data = ("--data", str(DATA), "--passphrase-file", str(PASSPHRASE))
    os.execv(PROGRAM, (PROGRAM, "serve", *data))  # noqa: S606


def found() -> None:
    """Make keys and database, apply the example, and give everybody a password of their own."""
    say(f"Making a CA in {FOLDER}: remove that folder to begin anew.")
    PASSWORDS.mkdir(mode=0o700, parents=True)
    secret(PASSPHRASE)
    hosts = ("--ssh-host", "*.acme.example")
    operate("init", "--passphrase-file", str(PASSPHRASE), "--issuer", CA, *hosts)
    operate("apply", EXAMPLE)
    for name in PEOPLE:
        secret(PASSWORDS / name)
        operate("user", "password", name, "--from-file", str(PASSWORDS / name))


def secret(path: Path) -> None:
    """Write a new secret that only its owner can read."""
    path.touch(0o600)
    path.write_text(f"{secrets.token_urlsafe(15)}\n")


def operate(command: str, *arguments: str) -> None:
    """Run `amrgate-ca` on the development server's folder; end with it if it fails."""
    words = (PROGRAM, command, *arguments, "--data", str(DATA))
    if status := subprocess.run(words, check=False).returncode:
        sys.exit(status)


def say(text: str) -> None:
    """Tell the developer, before any program does."""
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

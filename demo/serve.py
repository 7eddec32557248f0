"""A development server with the example's company, in build/serve: `make serve`."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

from demo.company import EXAMPLE, PEOPLE

FOLDER = Path("build/serve")
DATA, PASSPHRASE, PASSWORDS = FOLDER / "ca", FOLDER / "passphrase", FOLDER / "passwords"
CA = str(Path(sys.executable).parent / "amrgate-ca")


def main() -> None:
    """Make the CA the first time, and serve."""
    if not DATA.exists():
        found()
    print(f"Everybody's password is in {PASSWORDS}/NAME.", flush=True)  # noqa: T201
    os.execv(CA, (CA, "serve", "--data", str(DATA), "--passphrase-file", str(PASSPHRASE)))  # noqa: S606


def found() -> None:
    """Make keys and database, apply the example, and give everybody a password of their own."""
    PASSWORDS.mkdir(mode=0o700, parents=True)
    secret(PASSPHRASE)
    operate("init", "--passphrase-file", str(PASSPHRASE))
    operate("apply", EXAMPLE)
    for name in PEOPLE:
        secret(PASSWORDS / name)
        operate("user", "password", name, "--from-file", str(PASSWORDS / name))


def secret(path: Path) -> None:
    """Write a new secret that only its owner can read."""
    path.touch(0o600)
    path.write_text(f"{secrets.token_urlsafe(15)}\n")


def operate(command: str, *arguments: str) -> None:
    """Run `amrgate-ca` on the development server's folder."""
    subprocess.run((CA, command, *arguments, "--data", str(DATA)), check=True)


if __name__ == "__main__":
    main()

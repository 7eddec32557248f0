"""The demo, whole: every step checks itself against the letter of what a person must read."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORMS = ("ssh -N -L", "scp note", "scp -O note", "sftp", "rsync note")


@pytest.mark.xdist_group("machine")
def test_the_demo_shows_the_main_job() -> None:
    command = (sys.executable, "-m", "demo")
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [int(n) for n in re.findall(r"^(\d)\. ", ran.stdout, re.MULTILINE)] == list(range(1, 10))
    assert ran.stdout.count("✓ alice is in") == 5
    assert ran.stdout.count("✓ refused, to the letter") == 14
    for form in FORMS:
        assert f"alice$ {form}" in ran.stdout
    assert "✓ this machine's sshd, PAM and users are untouched" in ran.stdout


def test_without_root_the_demo_says_what_is_missing() -> None:
    # Becomes nobody only once all is imported: nobody can enter every checkout.
    program = "import demo.__main__, os, sys; os.setuid(65534); sys.exit(demo.__main__.main())"

    ran = subprocess.run(
        (sys.executable, "-c", program), cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 1
    assert "needs root" in ran.stderr
    assert "Traceback" not in ran.stderr

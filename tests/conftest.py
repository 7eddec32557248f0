"""What every test may use, and the count of attacks at the end of a run."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

from ca.ops.main import GARBAGE

if TYPE_CHECKING:
    import pytest

# The same examples at each run, so that what failed has changed; `--hypothesis-profile=explore`
# draws others. Neither is a measure of how busy the machine is.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("same")

pytest_plugins = [
    "tests.interpreters",
    "tests.databases",
    "tests.authorities",
    "tests.ca_server",
    "tests.hook_host",
    "tests.machines",
    "tests.hosts",
    "tests.agents",
    "tests.web",
    "tests.chromium",
    "tests.host_client",
    "tests.operating",
    "tests.answers",
    "tests.security_keys",
    "tests.providers",
    "tests.api_tokens",
    "tests.service_users",
    "tests.shop",
    "tests.ssh_configs",
    "tests.changing",
]

# A file's tests run in one worker, so that what they share is made once. These take longest, and
# go first: else one worker would be left alone with one of them at the end.
SLOWEST = (
    "test_readme",
    "test_demo",
    "test_fleet",
    "test_drills",
    "test_revocation_at_host",
    "test_host_and_ca",
    "test_enroll",
    "test_client_ssh_config",
    "test_client_flow",
    "test_client_certificate",
    "test_refusal_flows",
    "test_host_failures",
    "test_service_isolation",
    "test_userdb_at_host",
    "test_passkeys",
    "test_serve",
    "test_subject_key",
    "test_xss",
)

ATTACKS = frozenset(
    # Certificates: what the parser, the verifying path and the hook must refuse.
    {*range(1, 15), 17, 18, 19, 21, 24, 26, 27, 29, 32, 33, 34, 36}
    # The hook and the host.
    | {*range(37, 42), 43, 44, 46, 48, 49, 51, 52, 53, 54, *range(56, 62), 64, 66, *range(197, 201)}
    # Revocation.
    | {62, 65}
    # What may be asked to be signed.
    | {67, 68, 69, 71, 72, 75, 77, 79}
    # Tokens and OAuth.
    | {80, 81, 83, 85, 86, 88, 90, 92, 93, 95, *range(97, 101), 102, 103, *range(105, 113), 204}
    # Passwords, codes, sessions, and mailed links.
    | {113, 114, 116, 117, 118, 120, 121, 122, 124, 125, 126, 127, 128, 130, 131, 202, 203}
    # The engineers' command.
    | {78, 100}
    # Passkeys and security keys.
    | {132, 133, 134}
    # Single sign-on.
    | {*range(135, 139), 140, 142, 143, 144, 145, 150, 151, 201, 202}
    # API tokens.
    | {90, 91}
    # What an organization requires, and who decides about it.
    | {146, 148, 149, 150, 152, 153, 154, 155, 158}
)
"""The numbered cases that the tests must cover by now."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Write each test's numbers into its report, which is all that crosses from a worker."""
    for item in items:
        for marker in item.iter_markers("attack"):
            item.user_properties.extend(("attack", number) for number in marker.args)
    items.sort(key=lambda item: item.path.stem not in SLOWEST)


# As the commands do. What is imported stays, and so does what is collected.
gc.set_threshold(GARBAGE)


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over what was collected, all of which stays to the end."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran: dict[int, bool] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, number in getattr(report, "user_properties", []):
                if name == "attack":
                    ran[number] = ran.get(number, True) and outcome == "passed"
    if not ran:
        return
    listed = ATTACKS & ran.keys()
    failed = sorted(number for number, passed in ran.items() if not passed)
    line = f"attacks: {len(listed)} of the {len(ATTACKS)} listed cases ran"
    if others := len(ran.keys() - ATTACKS):
        line += f", and {others} more"
    missing = sorted(ATTACKS - ran.keys())
    if 0 < len(missing) < len(ATTACKS) // 2:  # more of them: somebody runs a few tests only
        line += f"; not run: {_words(missing)}"
    if failed:
        line += f"; FAILED: {_words(failed)}"
    terminalreporter.write_line(line)


def _words(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)

"""What is to be done again and again, whatever happens, without a log that repeats itself."""

from __future__ import annotations

from sshd_hook import service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def repeat(
    wait: Callable[[], object],
    step: Callable[[], object],
    failures: tuple[type[Exception], ...],
    complaint: str,
) -> NoReturn:
    """Wait and take the step, for ever. A failure is logged once, until there is another or none."""
    said = ""
    while True:
        wait()
        try:
            step()
            said = ""
        except failures as error:
            if str(error) != said:
                service.log(f"{complaint}: {error}")
            said = str(error)

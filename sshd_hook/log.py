"""The operator's line: one for each answer, to the system log, found by its stable `code`."""

import syslog

PROGRAM = "amrgate"


def log(code: str, priority: int, details: "dict[str, str]", reason: str = "") -> None:
    """Write `code=… name=value … reason="…"`.

    Whoever calls this has checked every detail: nothing that a client sent stands in a log
    before its alphabet is known. A system without a log loses the line and nothing else.
    """
    words = [f"code={code}"]
    words.extend(f"{name}={value}" for name, value in details.items())
    if reason:
        words.append(f'reason="{reason}"')
    syslog.openlog(PROGRAM, syslog.LOG_PID, syslog.LOG_AUTH)
    syslog.syslog(priority, " ".join(words))

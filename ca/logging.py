"""Logs: one JSON object a line on standard error, for the operator.

Nothing secret belongs in one: tokens, codes, passwords, keys, and URLs with a query. Those who
log pass fields that they choose; whole requests, headers and exceptions' arguments are not logged.
"""

import logging
import sys

import structlog


def set_up(level: int = logging.INFO) -> None:
    """Send every log of the process through structlog."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    # Authlib writes tokens at DEBUG; uvicorn's access log writes URLs with their query.
    logging.getLogger("authlib").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True

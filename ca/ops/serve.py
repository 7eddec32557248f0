"""`amrgate-ca serve`: unlock the keys once, listen, and let N workers answer."""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
import structlog

from ca import logging, settings, smtp
from ca.errors import Misconfigured
from ca.keys import Keyring, keyring
from ca.ops import process
from ca.ops.database import open_database
from ca.ops.options import data_option, known_passphrase, passphrase_option
from ca.settings import Settings

BACKLOG = 2048  # connections that wait to be accepted
GRACE = 5  # seconds that requests under way get when we are told to stop
MAX_WORKERS = 64
RESTART_LIMIT = 10  # workers that may die before we give up: one that cannot start never will

log = structlog.get_logger()


@click.command()
@data_option
@passphrase_option
@click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=2,
    show_default=True,
    help="Processes that answer.",
)
def serve(data: Path, passphrase_file: Path | None, workers: int) -> None:
    """Answer engineers and hosts until told to stop.

    Example: amrgate-ca serve --workers 4 --passphrase-file /root/passphrase
    """
    chosen = settings.read(data)
    with open_database(data):  # before anybody waits for the keys; a connection crosses no fork
        pass
    smtp.read_password(chosen)
    process.hide_memory()
    keys = keyring.unlock(data, known_passphrase(passphrase_file))
    logging.set_up()
    sockets = listen(chosen.listen, workers)
    host, port = sockets[0].getsockname()[:2]
    log.info("serving", address=host, port=port, workers=workers)
    from ca.app import bare_app

    bare_app()  # every route once, before the fork: its memory is shared by all workers
    sys.exit(Supervisor(lambda number: work(chosen, keys, sockets[number]), workers).run())


def listen(where: str, count: int) -> list[socket.socket]:
    """Open a socket for each of `count` workers, all on the same port.

    The kernel then spreads connections evenly, where one shared socket gives a burst of them all
    to whoever wakes first.

    Raises:
        Misconfigured: the address is not ours or is in use.
    """
    address, _, port = where.rpartition(":")
    host = address.strip("[]")
    number = int(port)
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(_listen(host, number))
            number = opened[0].getsockname()[1]  # port 0 is any, but the same for all
    except OSError as error:
        for each in opened:
            each.close()
        raise Misconfigured(f"{where} cannot be listened on: {error.strerror}.") from error
    return opened


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind((host, port))
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def work(chosen: Settings, keys: Keyring, opened: socket.socket) -> None:
    """Be one worker: answer what comes in on `opened` until SIGTERM."""
    import uvicorn

    from ca.app import create_app, open_services
    from ca.ops.heads import BoundedHeads

    with open_services(chosen, keys) as services:
        config = uvicorn.Config(
            create_app(services),
            loop="uvloop",
            http=BoundedHeads,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(chosen.proxies),
            forwarded_allow_ips=list(chosen.proxies),
            timeout_graceful_shutdown=GRACE,
        )

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                # Once: a second signal may come while this sets it, and would wait for itself.
                # systemd sends one to each process, and our supervisor another.
                first = not self.should_exit
                super().handle_exit(sig, frame)
                if first:
                    services.stopping.set()

        server = Server(config)

        def stop(_number: int, _frame: FrameType | None) -> None:
            server.should_exit = True

        # uvicorn sends itself again what it caught, once it has stopped: it must not end us
        # before everything is closed.
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor's business
        server.run(sockets=[opened])


class Supervisor:
    """Forks the workers, starts one anew if it dies, and stops all when told to."""

    def __init__(self, work: Callable[[int], None], workers: int) -> None:
        self._work = work
        self._numbers = range(workers)
        self._running: dict[int, int] = {}  # process id -> number
        self._died = 0
        self._stopping = False

    def run(self) -> int:
        """Return the exit status once all have ended."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGALRM, self._kill)
        gc.freeze()  # what is shared stays shared: the collector would touch every page
        for number in self._numbers:
            self._start(number)
        while self._running:
            process_id, status = os.wait()
            number = self._running.pop(process_id)
            if self._stopping:
                continue
            self._died += 1
            log.error("worker died", status=os.waitstatus_to_exitcode(status))
            if self._died > RESTART_LIMIT:
                self._stop(signal.SIGTERM, None)
            else:
                self._start(number)
        return int(self._died > RESTART_LIMIT)

    def _start(self, number: int) -> None:
        # A signal between the fork and the note of the new process would miss it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        parent = os.getpid()
        process_id = os.fork()
        if process_id == 0:
            _be_worker(lambda: self._work(number), parent)
        self._running[process_id] = number
        if self._stopping:
            os.kill(process_id, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        signal.alarm(2 * GRACE)
        self._send(signal.SIGTERM)

    def _kill(self, _number: int, _frame: FrameType | None) -> None:
        log.error("workers did not stop", killed=len(self._running))
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        for process_id in list(self._running):
            os.kill(process_id, number)


def _be_worker(work: Callable[[], None], parent: int) -> NoReturn:
    status = 1
    try:
        # Until uvicorn catches them, these end a worker that is starting.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        process.end_with(parent)
        work()
        status = 0
    except Exception:
        log.exception("worker failed")
    finally:
        os._exit(status)

"""A process that has imported Prefect's engine and all flows, and forks a run from itself when it is asked to.

`python -m deployments.warm.zygote SOCKET [MODULE ...]`. The first module may be asked for as well as the engine, and
is then what `python -m MODULE` would be; the others are what it loads on its way. A run that starts cold spends 4 of
its first 5 seconds on imports; forked, it has them already. The zygote itself starts no thread and no event loop and
opens no connection: what is forked is clean. It reads the code once: who changes a flow starts it again.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import flows
from deployments.warm.start import ENGINE, PID_BYTES, STATUS_BYTES
from tasks.orchestration.tls import read_ahead

ASKING_S = 5.0  # for a request that has begun to arrive
# What Prefect, Google's libraries and rich import when they are first used: half a second of a run.
LATE = (
    "anyio._backends._asyncio",
    "google.oauth2.credentials",
    "google.oauth2.reauth",
    "google_crc32c",
    "prefect._internal.metrics",
    "prefect._internal.observers",
    "prefect.deployments.steps.pull",
    "prefect.deployments.steps.utility",
    "prefect.flow_engine",
    "prefect.runner.storage",
    "prefect.task_engine",
    "prefect.utilities.visualization",
    "rich._emoji_codes",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is to be: its module and arguments, its environment, its folder, and its standard input and output."""

    module: str
    arguments: tuple[str, ...]
    environment: dict[bytes, bytes]
    folder: bytes
    standard: tuple[int, ...]


def main() -> None:
    path, *modules = sys.argv[1:]
    with listening(Path(path)) as listener:  # who asks already waits meanwhile
        import_all(modules)
        asked = forked(listener, {ENGINE, *modules[:1]})
    if asked:
        become(asked)


def import_all(modules: Sequence[str]) -> None:
    """What a run imports on its way, and nothing that begins to work when it is imported."""
    for name in (*LATE, *modules):
        importlib.import_module(name)
    for each in pkgutil.iter_modules(flows.__path__, "flows."):
        importlib.import_module(each.name)
    read_ahead()
    assert threading.active_count() == 1, "a thread would not be forked, and what it holds would be held for ever"
    gc.collect()
    gc.freeze()  # so that collections in the runs leave the shared pages alone


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Takes requests of this user alone: the socket's folder is private."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield listener


def forked(listener: socket.socket, allowed: Set[str]) -> Asked | None:
    """Serves until it is told to end, and answers None then; in each run that is forked, what it was asked to be."""
    told_to_end, ending = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(ending, b"."))
    with selectors.DefaultSelector() as waiting:
        waiting.register(told_to_end, selectors.EVENT_READ)
        waiting.register(listener, selectors.EVENT_READ)
        runs = Runs(waiting, allowed)
        while True:
            for key, _ in waiting.select():
                if key.fileobj == told_to_end:
                    runs.end()
                    return None
                if key.fileobj is listener:
                    if asked := runs.begin(listener):
                        return asked
                else:
                    runs.look(key)


class Runs:
    """Those that are under way, each with the connection of who asked for it."""

    def __init__(self, waiting: selectors.BaseSelector, allowed: Set[str]) -> None:
        self._waiting, self._allowed = waiting, allowed
        self._connections: dict[int, socket.socket] = {}

    def begin(self, listener: socket.socket) -> Asked | None:
        """In the new run, what it was asked to be; None in the zygote."""
        connection, _ = listener.accept()
        connection.settimeout(ASKING_S)
        try:
            asked = request(connection, self._allowed)
        except (OSError, ValueError):
            connection.close()  # who asks has ended meanwhile, or is not one of ours
            return None
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # the run takes it once it has no handler of ours
        if (pid := os.fork()) == 0:
            tell_that_it_begins(connection)
            for each in (connection, *self._connections.values()):
                each.close()  # who asked for another run is to learn of the zygote's end, not of this run's
            return asked
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        for descriptor in asked.standard:
            os.close(descriptor)
        self._connections[pid] = connection
        self._waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
        self._waiting.register(connection, selectors.EVENT_READ, pid)
        return None

    def look(self, key: selectors.SelectorKey) -> None:
        """A run has ended, or who asked for it has: then it is killed, as it would have been in its place."""
        if not isinstance(key.fileobj, socket.socket):
            self._waiting.unregister(key.fileobj)
            os.close(key.fd)
            self._tell(key.data)
        elif key.data in self._connections and not key.fileobj.recv(1):  # both may be told of in one breath
            self._waiting.unregister(key.fileobj)
            kill(key.data)

    def _tell(self, pid: int) -> None:
        _, status = os.waitpid(pid, 0)
        connection = self._connections.pop(pid)
        with contextlib.suppress(KeyError):
            self._waiting.unregister(connection)
        with contextlib.suppress(OSError):
            connection.sendall(status.to_bytes(STATUS_BYTES, "big"))
        connection.close()

    def end(self) -> None:
        for pid in self._connections:
            kill(pid)


def tell_that_it_begins(connection: socket.socket) -> None:
    """By the run itself: who has not heard of it may begin it anew, and nobody waits for what nobody has heard of."""
    try:
        connection.sendall(os.getpid().to_bytes(PID_BYTES, "big"))
    except OSError:
        os._exit(0)


def request(connection: socket.socket, allowed: Set[str]) -> Asked:
    """Raises OSError or ValueError if the other side does not speak as `start` does."""
    size, descriptors, _, _ = socket.recv_fds(connection, PID_BYTES, 3)
    try:
        if len(descriptors) != 3 or len(size) != PID_BYTES:
            raise ValueError("no descriptors")
        with connection.makefile("rb") as incoming:
            folder, count, *words = incoming.read(int.from_bytes(size, "big")).split(b"\0")
        module, *arguments = map(os.fsdecode, words[: 1 + int(count)])
        if module not in allowed:
            raise ValueError(module)
        environment = dict(each.split(b"=", 1) for each in words[1 + int(count) :])
    except (OSError, ValueError):
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return Asked(module, tuple(arguments), environment, folder, tuple(descriptors))


def kill(pid: int) -> None:
    """With all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # it has no group of its own yet


def become(asked: Asked) -> None:
    """As `python -m module` would be in that place."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for what they start in the background
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    for standard, descriptor in enumerate(asked.standard):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.chdir(asked.folder)
    os.environb.clear()
    os.environb.update(asked.environment)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - what was read ahead of the zygote's is not this one's
    _read_settings_again(logs=asked.module == ENGINE)
    sys.argv = [asked.module, *asked.arguments]
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")  # that it was imported before
    runpy.run_module(asked.module, run_name="__main__", alter_sys=True)


def _read_settings_again(*, logs: bool) -> None:
    from prefect.context import refresh_global_settings_context
    from prefect.logging.configuration import setup_logging

    refresh_global_settings_context()
    if logs:
        setup_logging()


if __name__ == "__main__":
    main()

"""Long-running operations: work that goes on in the background while callers poll (google.longrunning)."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code

from infra.emulator.kernel.errors import RpcError, not_found, unimplemented
from infra.emulator.kernel.store import Store

log = logging.getLogger("emulator")


class Background:
    """Tasks that outlive the call that started them; all are ended when the emulator stops."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("background work failed", exc_info=task.exception())

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Operations:
    def __init__(self, store: Store, background: Background) -> None:
        self._table = store.messages("operations", operations_pb2.Operation)
        self._background = background
        self._finished: dict[str, asyncio.Event] = {}
        self.journal: deque[dict[str, Any]] = deque(maxlen=10_000)  # name, start (monotonic) and seconds of each
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.canceller: dict[str, Callable[[str], None]] = {}  # by operation name

    def start(
        self,
        name: str,
        metadata: Message | None,
        work: Coroutine[Any, Any, Message],
        current: Callable[[], Message] | None = None,
    ) -> operations_pb2.Operation:
        """Answers at once with an operation called `name` and finishes it with what `work` returns or raises.

        `name` is `{parent}/operations/{id}`; see `new_id`. `current`, if given, supplies fresh metadata when done.
        """
        operation = operations_pb2.Operation(name=name)
        if metadata is not None:
            operation.metadata.Pack(metadata)
        self._table.put(name, operation)
        self._finished[name] = asyncio.Event()
        task = self._tasks[name] = self._background.spawn(self._run(name, work, current))
        task.add_done_callback(lambda _: self._tasks.pop(name, None))
        return operation

    @staticmethod
    def new_id() -> str:
        return str(uuid.uuid4())

    def done(self, name: str, response: Message, metadata: Message | None = None) -> operations_pb2.Operation:
        """Records and answers an operation that is finished already."""
        operation = operations_pb2.Operation(name=name, done=True)
        operation.response.Pack(response)
        if metadata is not None:
            operation.metadata.Pack(metadata)
        self._table.put(name, operation)
        return operation

    def put(self, operation: operations_pb2.Operation) -> None:
        """Replaces the stored operation (for progress in its metadata)."""
        self._table.put(operation.name, operation)

    async def _run(self, name: str, work: Coroutine[Any, Any, Message], current: Callable[[], Message] | None) -> None:
        outcome: Message | RpcError
        started = time.monotonic()
        try:
            outcome = await work
        except RpcError as error:
            outcome = error
        except Exception:
            log.exception("operation %s", name)
            outcome = RpcError(Code.INTERNAL, "Internal error encountered.")
        self._finish(name, outcome, current)
        self.journal.append({"name": name, "start": started, "seconds": time.monotonic() - started})

    def _finish(self, name: str, outcome: Message | RpcError, current: Callable[[], Message] | None) -> None:
        operation = self.get(name)
        operation.done = True
        if current is not None:
            operation.metadata.Pack(current())
        if isinstance(outcome, RpcError):
            operation.error.CopyFrom(outcome.status)
        else:
            operation.response.Pack(outcome)
        self._table.put(name, operation)
        self._finished.pop(name).set()

    def get(self, name: str) -> operations_pb2.Operation:
        operation = self._table.get(name)
        if operation is None:
            raise not_found(f"Operation {name} was not found.")
        return operation

    async def wait(self, name: str, timeout_s: float) -> operations_pb2.Operation:
        event = self._finished.get(name)
        if event is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await event.wait()
            except TimeoutError:
                pass
        return self.get(name)

    def list(self, prefix: str) -> list[operations_pb2.Operation]:
        return list(self._table.list(prefix))

    def cancel(self, name: str) -> empty_pb2.Empty:
        self.get(name)
        if name not in self.canceller:
            raise unimplemented("google.longrunning.Operations/CancelOperation")
        self.canceller[name](name)
        return empty_pb2.Empty()

    def abandon(self) -> None:
        """Stops all work under way without a trace: the operations are about to be forgotten."""
        for task in list(self._tasks.values()):
            task.cancel()
        self._finished.clear()

    def fail_interrupted(self) -> None:
        """After a restart: work that was under way is gone, and its operations say so."""
        for operation in self._table.list():
            if not operation.done and operation.name not in self._finished:
                operation.done = True
                operation.error.code = Code.ABORTED
                operation.error.message = "The operation was interrupted by a restart."
                self._table.put(operation.name, operation)

"""A port of this machine that instances find on their own loopback as well, such as a Prefect server's."""

from __future__ import annotations

import asyncio

from infra.emulator.doors.proxy import HEAD_LIMIT, pipe


class Passage:
    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    def protocol(self) -> asyncio.BaseProtocol:
        """Takes one connection, from whichever listener."""
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(HEAD_LIMIT), self._accept)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, other = await asyncio.open_connection("127.0.0.1", self._port)
            await asyncio.gather(pipe(reader, other), pipe(there, writer))
        except OSError:
            pass  # nobody listens there: the connection ends, as it would if it were refused
        except asyncio.CancelledError:
            pass  # asyncio's streams would report a cancelled handler as a failure
        finally:
            self._tasks.discard(task)
            writer.close()

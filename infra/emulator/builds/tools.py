"""docker and pack for scripts: commands on a step's PATH that hand their arguments to the local Cloud Build."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

Command = Callable[[Sequence[str], Path, Mapping[str, str], Callable[[str], None]], Awaitable[int]]
ADDRESS = "SLIPWAY_BUILD_TOOLS"  # port:token

PROGRAM = f'''#!{sys.executable}
import json, os, pathlib, socket, sys

port, token = os.environ["{ADDRESS}"].split(":")
with socket.create_connection(("127.0.0.1", int(port))) as connection:
    name = pathlib.Path(sys.argv[0]).name
    request = {{"token": token, "command": name, "arguments": sys.argv[1:], "folder": os.getcwd(),
               "environment": dict(os.environ)}}
    connection.sendall(json.dumps(request).encode() + b"\\n")
    for line in connection.makefile(encoding="utf-8"):
        answer = json.loads(line)
        if isinstance(answer, int):
            sys.exit(answer)
        print(answer, flush=True)
sys.exit("the local Cloud Build has gone")
'''


@asynccontextmanager
async def offered(commands: Mapping[str, Command], folder: Path) -> AsyncIterator[dict[str, str]]:
    """Puts the commands into `folder` and serves them meanwhile; yields the variables that a step needs for them.

    A command ends with the caller that waits for it, and at the latest with this context.
    """
    token = secrets.token_hex(16)
    callers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = asyncio.current_task()
        assert caller is not None
        callers.add(caller)
        try:
            request = json.loads(await reader.readline())
            if secrets.compare_digest(request["token"], token):
                await _obey(commands[request["command"]], request, reader, writer)
        finally:
            callers.discard(caller)
            writer.close()

    _install(commands, folder)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    try:
        yield {ADDRESS: f"{server.sockets[0].getsockname()[1]}:{token}"}
    finally:
        server.close()
        waiting = list(callers)
        for caller in waiting:
            caller.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _obey(
    command: Command, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    def say(answer: str | int) -> None:
        writer.write(json.dumps(answer).encode() + b"\n")

    work = asyncio.ensure_future(command(request["arguments"], Path(request["folder"]), request["environment"], say))
    hung_up = asyncio.ensure_future(reader.read())
    try:
        await asyncio.wait([work, hung_up], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            say(work.result())
    finally:
        work.cancel()
        hung_up.cancel()
        await asyncio.gather(work, hung_up, return_exceptions=True)


def _install(names: Iterable[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(PROGRAM)
        (folder / name).chmod(0o755)

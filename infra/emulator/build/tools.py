"""docker and pack for scripts: commands on a step's PATH that hand their arguments to the local Cloud Build."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

Command = Callable[[Sequence[str], Path, Callable[[str], None]], Awaitable[int]]
ADDRESS = "SLIPWAY_BUILD_TOOLS"  # port:token

PROGRAM = f'''#!{sys.executable}
import json, os, pathlib, socket, sys

port, token = os.environ["{ADDRESS}"].split(":")
with socket.create_connection(("127.0.0.1", int(port))) as connection:
    name = pathlib.Path(sys.argv[0]).name
    request = {{"token": token, "command": name, "arguments": sys.argv[1:], "folder": os.getcwd()}}
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
    """Puts the commands into `folder` and serves them meanwhile; yields the variables that a step needs for them."""
    token = secrets.token_hex(16)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(answer: str | int) -> None:
            writer.write(json.dumps(answer).encode() + b"\n")

        try:
            request = json.loads(await reader.readline())
            if secrets.compare_digest(request["token"], token):
                command = commands[request["command"]]
                say(await command(request["arguments"], Path(request["folder"]), say))
        finally:
            writer.close()

    _install(commands, folder)
    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20) as server:
        yield {ADDRESS: f"{server.sockets[0].getsockname()[1]}:{token}"}


def _install(names: Iterable[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(PROGRAM)
        (folder / name).chmod(0o755)

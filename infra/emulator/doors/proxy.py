"""The loopback forward proxy that makes the emulator reachable under Google's own host names.

CONNECT is answered by the emulator's TLS doors (gRPC if the client offers HTTP/2 alone, else REST); plain
http:// requests go to the plain door. A host that is neither Google's nor OSV's is refused: nothing leaves the machine.

No library's proxy: those go where the client asks. This one looks into the TLS hello to choose a door, and its tunnels
can be cut.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping

ALLOWED = re.compile(
    r"(^|\.)(googleapis\.com|pkg\.dev|gcr\.io|googleusercontent\.com|run\.app|gateway\.dev|gke\.goog)$"
    r"|^accounts\.google\.com$|^api\.osv\.dev$"
)
HEAD_LIMIT = 1 << 16
HANDSHAKE_TIMEOUT_S = 30.0


class Proxy:
    """`grpc`, `rest` and `plain` are the loopback ports of the three doors.

    elsewhere: ports of further TLS doors, by the beginning of the hosts, which are addresses, that they answer for.
    """

    def __init__(self, grpc: int, rest: int, plain: int, elsewhere: Mapping[str, int]) -> None:
        self._grpc, self._rest, self._plain, self._elsewhere = grpc, rest, plain, elsewhere
        self._tunnels: dict[int, Callable[[], None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        self._server = await asyncio.get_running_loop().create_server(self.protocol, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    def protocol(self) -> asyncio.BaseProtocol:
        """Takes one connection, from whichever listener."""
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(HEAD_LIMIT), self._accept)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self, peer: str) -> None:
        """Cuts the tunnel whose door-side address is `peer` (ipv4:127.0.0.1:4711)."""
        cut = self._tunnels.get(int(peer.rsplit(":", 1)[1]))
        if cut:
            cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._tunnel(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # the client went away or spoke no HTTP
        except asyncio.CancelledError:
            pass  # the proxy stops; asyncio's streams would report a cancelled handler as a failure
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
            verb, target, _ = head.split(b" ", 2)
            host = _host(target.decode("latin-1"))
            door = next((port for start, port in self._elsewhere.items() if host.startswith(start)), 0)
            if not (door or ALLOWED.search(host)):
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            port, first = self._plain, head
            if verb == b"CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                first = await reader.read(HEAD_LIMIT)
                port = door or (self._grpc if offers_only_h2(first) else self._rest)
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", port)
        local = upstream.get_extra_info("sockname")[1]

        def cut() -> None:
            writer.transport.abort()
            upstream.transport.abort()

        self._tunnels[local] = cut
        upstream.write(first)
        try:
            await asyncio.gather(pipe(reader, upstream), pipe(upstream_reader, writer))
        finally:
            self._tunnels.pop(local, None)
            upstream.close()


def _host(target: str) -> str:
    """The host of `host:443` or of `http://host:80/path`."""
    authority = re.sub(r"^http://", "", target).split("/", 1)[0]
    return authority.rsplit(":", 1)[0] if ":" in authority else authority


def offers_only_h2(client_hello: bytes) -> bool:
    """Whether the ALPN extension of a TLS ClientHello names h2 but not http/1.1: a gRPC client."""
    return b"\x02h2" in client_hello and b"\x08http/1.1" not in client_hello


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        pass
    finally:
        writer.close()

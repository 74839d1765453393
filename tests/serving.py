"""A small HTTP server in this process, for tests of what calls one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tasks.orchestration.addresses import NETWORKS_VARIABLE


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server that answers as `handler` does, and logs no requests; it ends with the block."""

    class Quiet(handler):  # type: ignore[misc, valid-type]
        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving_hooks(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The same for hooks of releases, which may reach this machine meanwhile."""
    with serving(handler) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv(NETWORKS_VARIABLE, "127.0.0.0/8")
        yield address

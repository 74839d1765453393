"""A private repository is read with a token from a block in Prefect, by the command and by runs."""

from __future__ import annotations

import base64
import http.server
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.blocks.system import Secret
from prefect.client.orchestration import PrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from tasks.failures.errors import SourceError
from tasks.source.git import git
from tasks.source.source import Source, open_source
from tests.serving import serving
from tests.tasks.repos import Repo

WHO = base64.b64encode(b"ada:t0ken").decode()


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a repository that git's own server gives to Ada alone."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    repo = Repo.init(tmp_path / "shop")
    repo.commit(**{"web/main.py": "1", "slipway.yaml": "app: shop"})
    repo.git("config", "uploadpack.allowFilter", "true")

    class Private(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Authorization"] != f"Basic {WHO}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            head, _, body = self._asked().partition(b"\r\n\r\n")
            self.send_response(200)
            for line in head.decode().splitlines():
                name, _, value = line.partition(": ")
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - what http.server calls it

        def _asked(self) -> bytes:
            """What `git http-backend`, a CGI program, answers."""
            path, _, query = self.path.partition("?")
            variables = {
                "GIT_PROJECT_ROOT": str(tmp_path), "GIT_HTTP_EXPORT_ALL": "1", "REQUEST_METHOD": self.command,
                "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_USER": "ada",
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }  # fmt: skip
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            done = subprocess.run(
                ["git", "http-backend"], env=os.environ | variables, input=sent, capture_output=True, check=True
            )
            return done.stdout

    with serving(Private) as server:
        yield f"{server}/shop/.git"


async def test_a_private_repository_is_read_by_a_block_and_not_without(
    prefect: PrefectClient, address: str, tmp_path: Path
) -> None:
    with temporary_settings({PREFECT_API_URL: str(prefect.api_url)}):
        await Secret(value=SecretStr("ada:t0ken")).save("git-token", overwrite=True)
        with pytest.raises(SourceError, match="may not be read") as refused:
            await open_source(Source(repository=address), tmp_path / "work")
        assert "`credentials` of the source" in refused.value.remedy
        checkout = await open_source(Source(repository=address, credentials="git-token"), tmp_path / "work")
        assert (checkout / "web/main.py").read_text() == "1"
        await git(checkout, "fetch", "--quiet", "origin")  # as when more of its history is needed later
        with pytest.raises(SourceError, match="no block secret/nothing"):
            await open_source(Source(repository=address, credentials="nothing"), tmp_path / "work")

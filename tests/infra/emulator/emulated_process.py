"""Emulators of a test's own: started, killed and started again on the same folder."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked


@dataclass(frozen=True)
class Process:
    """A running emulator; `kill` is what a power cut does to it."""

    cloud: LocalCloud
    process: subprocess.Popen[str]
    said: str  # the line with which it says that it listens

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)

    def rest(self, api: str) -> contextlib.AbstractContextManager[Checked]:
        return rest_of(self.cloud, api)


@contextlib.contextmanager
def rest_of(cloud: LocalCloud, api: str) -> Iterator[Checked]:
    """A checked session as gcloud's user, by way of the emulator's own proxy."""
    token = (cloud.data / "gcloud-token").read_text()
    with Checked(
        base_url=f"https://{api}.googleapis.com",
        headers={"Authorization": f"Bearer {token}"},
        proxy=cloud.env["HTTPS_PROXY"],
        verify=context(cloud),
        trust_env=False,
    ) as session:
        yield session


def context(cloud: LocalCloud) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cloud.env["SSL_CERT_FILE"])


@contextlib.contextmanager
def emulator(data: Path, profile: str = "instant") -> Iterator[Process]:
    """Ends it as Ctrl-C does, unless the test has killed it."""
    command = [sys.executable, "-m", "infra.emulator", "run", "--data", str(data), "--profile", profile]
    process = subprocess.Popen([*command, "--project", PROJECT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.readline()
        word = json.loads((data / "emulator.json").read_text())
        try:
            yield Process(LocalCloud({**os.environ, **word["environment"]}, word["admin"], data), process, said)
        finally:
            if process.poll() is None:
                process.terminate()
                assert process.wait(timeout=30) == 0


def post(cloud: LocalCloud, path: str) -> None:
    httpx.post(f"{cloud.admin}{path}", trust_env=False, timeout=30).raise_for_status()

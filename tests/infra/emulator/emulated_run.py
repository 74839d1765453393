"""Services on the local Cloud Run, as the official clients make them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.api_core.future.polling import DEFAULT_POLLING
from google.cloud import run_v2
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import field_mask_pb2

from tests.conftest import PROJECT, LocalCloud

HELLO = "us-docker.pkg.dev/cloudrun/container/hello"
REGION = "europe-west1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
BY_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
QUICK = DEFAULT_POLLING.with_delay(0.02, 0.2).with_timeout(60)  # the default looks once a second
_names = itertools.count(1)

# An app that tells who it is, and does as the path says.
APP = """
import http.server, json, os, sys, time
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        what = self.path.strip("/").split("/")
        status = int(what[1]) if what[0] == "status" else 200
        if what[0] == "slow": time.sleep(float(what[1]))
        if what[0] == "exit": os._exit(int(what[1]))
        if what[0] == "log": print(what[1], flush=True)
        answer = {"revision": os.environ["K_REVISION"], "env": dict(os.environ), "path": self.path, "pid": os.getpid(),
                  "headers": dict(self.headers), "method": self.command, "body": body.decode(), "cwd": os.getcwd()}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(text)
    do_POST = do_HEAD = do_PUT = do_DELETE = do_GET
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), App).serve_forever()
"""


def new_name(word: str = "svc") -> str:
    return f"{word}-{next(_names)}"


def container(code: str = APP, **fields: Any) -> run_v2.Container:
    return run_v2.Container(image=HELLO, command=["python3", "-c", code], **fields)


def template(code: str = APP, **fields: Any) -> run_v2.RevisionTemplate:
    """`env` (a dict) and `container` (its further fields) go into the container; the rest into the template."""
    env = [run_v2.EnvVar(name=name, value=value) for name, value in fields.pop("env", {}).items()]
    return run_v2.RevisionTemplate(containers=[container(code, env=env, **fields.pop("container", {}))], **fields)


def latest(percent: int = 100, tag: str = "") -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(type_=LATEST, percent=percent, tag=tag)


def to(revision: str, percent: int = 0, tag: str = "") -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(type_=BY_REVISION, revision=revision, percent=percent, tag=tag)


class Run:
    """The clients, and what most tests do with them."""

    def __init__(self) -> None:
        self.services = run_v2.ServicesClient()
        self.revisions = run_v2.RevisionsClient()

    def create(
        self, name: str, made: run_v2.RevisionTemplate | None = None, *, public: bool = True, **fields: Any
    ) -> Any:
        service = run_v2.Service(template=made or template(), **fields)
        operation = self.services.create_service(parent=PARENT, service=service, service_id=name)
        created = operation.result(polling=QUICK)
        if public:
            self.open_to("allUsers", created.name)
        return created

    def update(self, service: run_v2.Service, *paths: str, **options: Any) -> Any:
        return self.start_update(service, *paths, **options).result(polling=QUICK)

    def start_update(self, service: run_v2.Service, *paths: str, **options: Any) -> Any:
        request = run_v2.UpdateServiceRequest(
            service=service, update_mask=field_mask_pb2.FieldMask(paths=paths) if paths else None, **options
        )
        return self.services.update_service(request)

    def get(self, name: str) -> run_v2.Service:
        return self.services.get_service(name=f"{PARENT}/services/{name}")

    def open_to(self, member: str, resource: str) -> None:
        binding = policy_pb2.Binding(role="roles/run.invoker", members=[member])
        policy = policy_pb2.Policy(bindings=[binding])
        self.services.set_iam_policy(iam_policy_pb2.SetIamPolicyRequest(resource=resource, policy=policy))

    def failure(self, operation: Any) -> GoogleAPICallError:
        with pytest.raises(GoogleAPICallError) as raised:
            operation.result(polling=QUICK)
        return raised.value


def fetch(url: str, path: str = "/", method: str = "GET", **options: Any) -> httpx.Response:
    return httpx.request(method, f"{url}{path}", trust_env=False, timeout=20, **options)


def answer(url: str, path: str = "/", **options: Any) -> dict[str, Any]:
    return dict(json.loads(fetch(url, path, **options).raise_for_status().content))


def short(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def lines_of(service: run_v2.Service, log: str) -> list[str]:
    """The texts in one of the service's logs, oldest first; waits for the first."""
    client = LoggingServiceV2Client()
    condition = (
        f'resource.type="cloud_run_revision" AND resource.labels.service_name="{short(service.name)}" '
        f'AND log_id("run.googleapis.com/{log}")'
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        entries = client.list_log_entries(resource_names=[f"projects/{PROJECT}"], filter=condition)
        if texts := [entry.text_payload or str(dict(entry.json_payload)) for entry in entries]:
            return texts
        time.sleep(0.05)
    raise AssertionError(f"nothing in {log}")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return b"\nState:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()


def ends(pid: int, within_s: float = 30.0) -> bool:
    deadline = time.monotonic() + within_s
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Own:
    """An emulator process that a test may kill, over one data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data

    @classmethod
    def over(cls, data: Path, cloud: LocalCloud) -> Iterator[Own]:
        """For a fixture. It has the session's certificates, since gRPC reads its roots once per process."""
        before = dict(os.environ)
        shutil.copytree(cloud.data / "certs", data / "certs")
        yield cls(data)
        os.environ.clear()
        os.environ.update(before)

    @contextmanager
    def running(self, *more: str, kill: bool = False, profile: str = "instant") -> Iterator[subprocess.Popen[str]]:
        """`more`: further arguments."""
        command = [sys.executable, "-m", "infra.emulator", "run", "--data", str(self.data), "--profile", profile]
        process = subprocess.Popen([*command, "--project", PROJECT, *more], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            process.stdout.readline()
            os.environ.update(json.loads((self.data / "emulator.json").read_text())["environment"])
            yield process
        finally:
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            process.wait(timeout=30)
            process.stdout.close()

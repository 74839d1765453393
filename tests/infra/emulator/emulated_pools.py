"""Worker pools on the local Cloud Run, as the official clients make them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import run_v2
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.protobuf import field_mask_pb2

from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import HELLO, PARENT, QUICK, short

Split = run_v2.InstanceSplit
LATEST = run_v2.InstanceSplitAllocationType.INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST
BY_REVISION = run_v2.InstanceSplitAllocationType.INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION
# A worker: says who it is and works until it is asked to end.
WORKER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("works", os.environ["CLOUD_RUN_WORKER_POOL"], os.environ["CLOUD_RUN_REVISION"], os.environ.get("WORD", ""),
      "PORT" in os.environ, flush=True)
while True: time.sleep(60)
"""
LIMIT_S = 20.0


def template(code: str = WORKER, container: dict[str, Any] | None = None, **fields: Any) -> Any:
    env = [run_v2.EnvVar(name=name, value=value) for name, value in fields.pop("env", {}).items()]
    made = run_v2.Container(image=HELLO, command=["python3", "-c", code], env=env, **(container or {}))
    return run_v2.WorkerPoolRevisionTemplate(containers=[made], **fields)


def to(revision: str, percent: int) -> Split:
    return Split(type_=BY_REVISION, revision=revision, percent=percent)


class Pools:
    def __init__(self) -> None:
        self.client, self.revisions = run_v2.WorkerPoolsClient(), run_v2.RevisionsClient()

    def start(self, name: str, made: Any = None, count: int = 1, **fields: Any) -> Any:
        scaling = run_v2.WorkerPoolScaling(manual_instance_count=count)
        pool = run_v2.WorkerPool(template=template() if made is None else made, scaling=scaling, **fields)
        return self.client.create_worker_pool(parent=PARENT, worker_pool=pool, worker_pool_id=name)

    def create(self, name: str, made: Any = None, count: int = 1, **fields: Any) -> Any:
        return self.start(name, made, count, **fields).result(polling=QUICK)

    def update(self, pool: Any, *paths: str, **options: Any) -> Any:
        mask = field_mask_pb2.FieldMask(paths=paths) if paths else None
        request = run_v2.UpdateWorkerPoolRequest(worker_pool=pool, update_mask=mask, **options)
        return self.client.update_worker_pool(request).result(polling=QUICK)

    def get(self, name: str) -> Any:
        return self.client.get_worker_pool(name=f"{PARENT}/workerPools/{name}")

    def refused(self, work: Callable[[], Any]) -> str:
        with pytest.raises(GoogleAPICallError) as raised:
            work()
        return str(raised.value)


def lines_of(pool: str, revision: str = "", log: str = "stdout") -> list[str]:
    """What the pool's instances have said, oldest first."""
    condition = (
        f'resource.type="cloud_run_worker_pool" AND resource.labels.worker_pool_name="{short(pool)}" '
        f'AND log_id("run.googleapis.com/{"varlog/system" if log == "system" else log}")'
    )
    if revision:
        condition += f' AND resource.labels.revision_name="{short(revision)}"'
    entries = LoggingServiceV2Client().list_log_entries(resource_names=[f"projects/{PROJECT}"], filter=condition)
    return [entry.text_payload for entry in entries]


def eventually(look: Callable[[], Any]) -> Any:
    """What a look answers once it answers anything."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def works(pool: str, revision: str, many: int) -> bool:
    """Whether so many instances of the revision have begun to work by now."""
    return len(lines_of(pool, revision)) == many

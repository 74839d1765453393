"""Kinds of Cloud Run that are not emulated: there are none of them, and who asks is told so."""

from __future__ import annotations

from typing import Any

from google.cloud import run_v2

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, rpc

API = "google.cloud.run.v2"
ListInstancesResponse: Any = run_v2.ListInstancesResponse.pb()


class OtherKinds:
    def __init__(self, _: Cloud) -> None: ...

    @rpc(f"{API}.Instances/ListInstances", permission="run.instances.list", resource="parent")
    async def list_instances(self, _: Any, __: Call) -> Any:
        return ListInstancesResponse()

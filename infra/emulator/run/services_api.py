"""google.cloud.run.v2.Services."""

from __future__ import annotations

from typing import Any

from google.cloud import run_v2

from infra.emulator.iam.admission import Admission
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.locations import check_location
from infra.emulator.run.fields import merged
from infra.emulator.run.lifecycle import check_etag, shown
from infra.emulator.run.names import ServiceName
from infra.emulator.run.paging import page_of
from infra.emulator.run.policies_api import HOST, with_policies
from infra.emulator.run.system import CloudRun

SERVICES = "google.cloud.run.v2.Services"
ListServicesResponse: Any = run_v2.ListServicesResponse.pb()


@with_policies(SERVICES, "run.services", "services")
class Services:
    def __init__(self, cloud: Cloud) -> None:
        self._state, self._lifecycle = cloud.get(CloudRun).state, cloud.get(CloudRun).lifecycle
        self._admission, self.policies = cloud.get(Admission), cloud.get(Policies)

    def find(self, name: str) -> Any:
        return self._state.service(name)

    @rpc(f"{SERVICES}/CreateService", permission="run.services.create", resource="parent")
    async def create(self, request: Any, call: Call) -> Any:
        check_location(request.parent)
        name = f"{request.parent}/services/{request.service_id}"
        return self._lifecycle.create(name, request.service, call.principal, validate_only=request.validate_only)

    @rpc(f"{SERVICES}/GetService", permission="run.services.get")
    async def get(self, request: Any, _: Call) -> Any:
        return shown(self._state.service(request.name))

    @rpc(f"{SERVICES}/ListServices", permission="run.services.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        services, token = page_of(self._state.services, request, "services")
        return ListServicesResponse(services=map(shown, services), next_page_token=token)

    @rpc(f"{SERVICES}/UpdateService", permission="run.services.update", resource="service.name")
    async def update(self, request: Any, call: Call) -> Any:
        name = request.service.name
        if request.allow_missing and name not in self._state.services:
            self._admission.require(call.principal, "run.services.create", ServiceName.parse(name).parent, HOST)
            return self._lifecycle.create(name, request.service, call.principal, validate_only=request.validate_only)
        current = self._state.service(name)
        check_etag(current, request.service.etag)
        wanted = merged(current, request.service, request.update_mask.paths)
        return self._lifecycle.update(name, wanted, call.principal, validate_only=request.validate_only)

    @rpc(f"{SERVICES}/DeleteService", permission="run.services.delete")
    async def delete(self, request: Any, _: Call) -> Any:
        return self._lifecycle.delete(request.name, request.etag, validate_only=request.validate_only)

"""What there is of APIs, configs and gateways, and how a change of one is carried out, over restarts, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.cloud import apigateway_v1
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, aborted, not_found
from infra.emulator.kernel.store import Table
from infra.emulator.projects.managed import ManagedServices

ApiPb: Any = apigateway_v1.Api.pb()
ConfigPb: Any = apigateway_v1.ApiConfig.pb()
GatewayPb: Any = apigateway_v1.Gateway.pb()
MetadataPb: Any = apigateway_v1.OperationMetadata.pb()
SOURCES = ("openapi_documents", "grpc_services", "managed_service_configs")
State = apigateway_v1.ApiConfig.State  # the numbers are the same for all three kinds
SETTLED = (State.ACTIVE, State.FAILED)
WORKING = {"create": State.CREATING, "update": State.UPDATING, "delete": State.DELETING}
Form = Callable[[Any], Any]  # a message of v1 in the words of the version that was asked


class Resources:
    """Tables by full name, under the project's id."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, store = cloud, cloud.store
        self.apis = store.messages("gateway-apis", ApiPb)
        self.configs = store.messages("gateway-configs", ConfigPb)
        self.gateways = store.messages("gateway-gateways", GatewayPb)
        self._served = store.values("gateway-served")  # host -> {gateway, config}: where requests go now
        self._work = store.values("gateway-work")  # operation -> {target, verb, api_version}: what is not done yet
        self._managed, self._policies = cloud.get(ManagedServices), cloud.get(Policies)
        self.forms: dict[str, Form] = {"v1": lambda message: message}
        cloud.on_start.append(self._resume)

    def table_of(self, name: str) -> Table[Any]:
        kind = name.split("/")[-2]
        return {"apis": self.apis, "configs": self.configs, "gateways": self.gateways}[kind]

    def find(self, name: str) -> Any:
        found = self.table_of(name).get(name)
        if found is None:
            raise missing(name)
        return found

    def settled(self, name: str) -> Any:
        """One that nobody is changing. Raises what Google answers while somebody is."""
        found = self.find(name)
        if found.state not in SETTLED:
            raise aborted("unable to queue the operation")
        return found

    def served(self, host: str) -> dict[str, str]:
        """{gateway, config} of the gateway with that host name; empty if there is none."""
        return dict(self._served.get(host) or {})

    def start(self, verb: str, resource: Any, version: str) -> operations_pb2.Operation:
        """Stores `resource` in the state of being worked at, and works at it.

        version: in whose words the operation is told, v1 or v1beta.
        """
        resource.state = WORKING[verb]
        resource.update_time.GetCurrentTime()
        self.table_of(resource.name).put(resource.name, resource)
        parent = "/".join(resource.name.split("/")[:4])
        name = f"{parent}/operations/operation-{self._cloud.operations.new_id()}"
        metadata = MetadataPb(target=resource.name, verb=verb, api_version=version)
        metadata.create_time.GetCurrentTime()
        self._work.put(name, {"target": resource.name, "verb": verb, "api_version": version})
        return self._run(name, metadata)

    def _run(self, operation: str, metadata: Any) -> operations_pb2.Operation:
        form = self.forms[metadata.api_version]

        def ended() -> Any:
            metadata.end_time.GetCurrentTime()
            return form(metadata)

        work = self._carry_out(operation, metadata.target, metadata.verb, form)
        return self._cloud.operations.start(operation, form(metadata), work, ended)

    async def _resume(self) -> None:
        """After a restart goes on with what was under way, under the names of the operations that callers wait for."""
        for operation in self._work.names():
            metadata = MetadataPb(**(self._work.get(operation) or {}))
            metadata.create_time.GetCurrentTime()
            self._run(operation, metadata)

    async def _carry_out(self, operation: str, name: str, verb: str, form: Form) -> Message:
        try:
            await self._pause(name, verb)
            if fault := self._cloud.behaviour.pick(f"apigateway.{name.split('/')[-2]}.{verb}"):
                raise fault.error()
        except RpcError:
            with self._cloud.store.transaction():
                self._fail(name, verb)
                self._work.delete(operation)
            raise
        with self._cloud.store.transaction():
            self._work.delete(operation)
            return self._remove(name) if verb == "delete" else form(basic(self._settle(name)))

    async def _pause(self, name: str, verb: str) -> None:
        kind = name.split("/")[-2].removesuffix("s")
        await self._cloud.behaviour.pause(f"apigateway.{kind}")
        if kind == "config" and verb == "create":
            config = self.find(name)
            config.state = State.ACTIVATING
            self.configs.put(name, config)
            await self._cloud.behaviour.pause("apigateway.activate")

    def _settle(self, name: str) -> Any:
        table = self.table_of(name)
        resource = self.find(name)
        resource.state = State.ACTIVE
        resource.update_time.GetCurrentTime()
        table.put(name, resource)
        if table is self.configs:
            self._publish(resource)
        if table is self.gateways:
            self._served.put(resource.default_hostname, {"gateway": name, "config": resource.api_config})
        return resource

    def _publish(self, config: Any) -> None:
        """An API's managed service can be enabled once it has a config to enable it with."""
        api = self.find(config.name.partition("/configs/")[0])
        self._managed.put(api.managed_service, api.name.split("/")[1], api.display_name)

    def _remove(self, name: str) -> Message:
        table = self.table_of(name)
        resource = self.find(name)
        if table is self.gateways:
            self._served.delete(resource.default_hostname)
        if table is self.apis:
            self._managed.delete(resource.managed_service)
        table.delete(name)
        self._policies.delete(name)
        return empty_pb2.Empty()

    def _fail(self, name: str, verb: str) -> None:
        """What could not be made stays as a wreck; what could not be changed or deleted stays as it was."""
        table = self.table_of(name)
        resource = self.find(name)
        resource.state = State.FAILED if verb == "create" else State.ACTIVE
        table.put(name, resource)


def basic(resource: Any) -> Any:
    """Without a config's documents, which may be long."""
    for field in SOURCES if isinstance(resource, ConfigPb) else ():
        resource.ClearField(field)
    return resource


def missing(name: str) -> RpcError:
    return not_found(f"Resource '{name}' was not found")

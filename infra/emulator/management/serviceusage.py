"""Service Usage: which APIs a project has enabled. Names carry the project's number, as Google's do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.cloud import service_usage_v1
from google.longrunning import operations_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from google.rpc.code_pb2 import Code

from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, error_info, failed_precondition, invalid
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.managed import ManagedServices
from infra.emulator.projects.projects import APIS, PAID, Project, Projects

API = "google.api.serviceusage.v1.ServiceUsage"
HOST = "serviceusage.googleapis.com"
MAX_BATCH = {"enable": 20, "get": 30}  # https://cloud.google.com/service-usage/docs/reference/rest/v1/services
# APIs that exist, can be switched on and off, and are not emulated.
OTHER_APIS = {
    "bigquery.googleapis.com": "BigQuery API",
    "binaryauthorization.googleapis.com": "Binary Authorization API",
    "cloudapis.googleapis.com": "Google Cloud APIs",
    "cloudkms.googleapis.com": "Cloud Key Management Service (KMS) API",
    "cloudtasks.googleapis.com": "Cloud Tasks API",
    "cloudtrace.googleapis.com": "Cloud Trace API",
    "container.googleapis.com": "Kubernetes Engine API",
    "containerregistry.googleapis.com": "Container Registry API",
    "containerscanning.googleapis.com": "Container Scanning API",
    "dns.googleapis.com": "Cloud DNS API",
    "eventarc.googleapis.com": "Eventarc API",
    "ondemandscanning.googleapis.com": "On-Demand Scanning API",
    "pubsub.googleapis.com": "Cloud Pub/Sub API",
    "redis.googleapis.com": "Google Cloud Memorystore for Redis API",
    "servicecontrol.googleapis.com": "Service Control API",
    "servicemanagement.googleapis.com": "Service Management API",
    "storage-api.googleapis.com": "Google Cloud Storage JSON API",
    "storage-component.googleapis.com": "Cloud Storage",
    "vpcaccess.googleapis.com": "Serverless VPC Access API",
}
KNOWN = APIS | OTHER_APIS
ServicePb: Any = service_usage_v1.Service.pb()
ListPb: Any = service_usage_v1.ListServicesResponse.pb()
BatchGetPb: Any = service_usage_v1.BatchGetServicesResponse.pb()
EnabledPb: Any = service_usage_v1.EnableServiceResponse.pb()
DisabledPb: Any = service_usage_v1.DisableServiceResponse.pb()
BatchEnabledPb: Any = service_usage_v1.BatchEnableServicesResponse.pb()
MetadataPb: Any = service_usage_v1.OperationMetadata.pb()
State = service_usage_v1.State


class ServiceUsage:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._projects, self._policies = cloud, cloud.get(Projects), cloud.get(Policies)
        self._managed = cloud.get(ManagedServices)

    @rpc(f"{API}/GetService")
    async def get(self, request: Any, call: Call) -> Any:
        project, apis = self._asked(request.name, [request.name])
        self._require(call, "get", project, apis)
        return self._show(project, apis[0])

    @rpc(f"{API}/BatchGetServices", resource="parent")
    async def batch_get(self, request: Any, call: Call) -> Any:
        if len(request.names) > MAX_BATCH["get"]:
            raise invalid(f"The number of services to get must not exceed {MAX_BATCH['get']}.")
        project, apis = self._asked(request.parent, request.names)
        self._require(call, "get", project, apis)
        return BatchGetPb(services=[self._show(project, api) for api in apis])

    @rpc(f"{API}/ListServices", resource="parent")
    async def list(self, request: Any, call: Call) -> Any:
        project = self._projects.find(request.parent)
        self._require(call, "list", project, [])
        wanted = {"state:ENABLED": State.ENABLED, "state:DISABLED": State.DISABLED, "": None}
        if request.filter not in wanted:
            raise invalid(f"Invalid filter: {request.filter}")
        apis = sorted({*KNOWN, *self._managed.names(), *self._projects.enabled(project.id)})
        services = [self._show(project, api) for api in apis if api > request.page_token]
        services = [s for s in services if wanted[request.filter] in (None, s.state)]
        size = request.page_size or 50
        token = services[size - 1].config.name if len(services) > size else ""
        return ListPb(services=services[:size], next_page_token=token)

    def _show(self, project: Project, api: str) -> Any:
        enabled = api in self._projects.enabled(project.id)
        service = ServicePb(
            name=f"projects/{project.number}/services/{api}",
            parent=f"projects/{project.number}",
            state=State.ENABLED if enabled else State.DISABLED,
        )
        service.config.name, service.config.title = api, KNOWN.get(api) or self._managed.title(api)
        return service

    @rpc(f"{API}/EnableService")
    async def enable(self, request: Any, call: Call) -> operations_pb2.Operation:
        project, apis = self._asked(request.name, [request.name])
        return self._enable(call, project, apis, "acf", lambda shown: EnabledPb(service=shown[0]))

    @rpc(f"{API}/BatchEnableServices", resource="parent")
    async def batch_enable(self, request: Any, call: Call) -> operations_pb2.Operation:
        if len(request.service_ids) > MAX_BATCH["enable"]:
            raise invalid(f"The number of services to enable must not exceed {MAX_BATCH['enable']}.")
        project, apis = self._asked(request.parent, request.service_ids)
        return self._enable(call, project, apis, "acat", lambda shown: BatchEnabledPb(services=shown))

    def _enable(
        self, call: Call, project: Project, apis: Sequence[str], kind: str, response: Any
    ) -> operations_pb2.Operation:
        self._require(call, "enable", project, apis)
        self._require_bind(call, apis)
        if not self._projects.billing(project.id) and (paid := sorted(PAID & set(apis))):
            raise billing_not_found(project, paid)
        if set(apis) <= self._projects.enabled(project.id):
            shown = [self._show(project, api) for api in apis]
            return self._cloud.operations.done("operations/noop.DONE_OPERATION", response(shown))

        async def work() -> Message:
            await self._cloud.behaviour.pause("serviceusage.enable")
            for api in apis:
                self._projects.enable(project.id, api)
            return response([self._show(project, api) for api in apis])  # type: ignore[no-any-return]

        return self._cloud.operations.start(self._operation(kind, project), _metadata(project, apis), work())

    @rpc(f"{API}/DisableService")
    async def disable(self, request: Any, call: Call) -> operations_pb2.Operation:
        project, apis = self._asked(request.name, [request.name])
        self._require(call, "disable", project, apis)
        if apis[0] not in self._projects.enabled(project.id):
            raise failed_precondition(
                f"The service {apis[0]} is not enabled for project_number:{project.number} or it does not exist."
            )

        async def work() -> Message:
            await self._cloud.behaviour.pause("serviceusage.enable")
            self._projects.disable(project.id, apis[0])
            return DisabledPb(service=self._show(project, apis[0]))  # type: ignore[no-any-return]

        return self._cloud.operations.start(self._operation("acf", project), _metadata(project, apis), work())

    def _operation(self, kind: str, project: Project) -> str:
        return f"operations/{kind}.p2-{project.number}-{self._cloud.operations.new_id()}"

    def _asked(self, parent: str, names: Iterable[str]) -> tuple[Project, Sequence[str]]:
        """The project and the APIs that a request is about; an unknown API looks like a forbidden one."""
        apis = [name.rsplit("/", 1)[-1] for name in names]
        if unknown := [api for api in apis if api not in KNOWN and api not in self._managed]:
            raise not_found_or_denied(unknown)
        return self._projects.find(parent), apis

    def _require(self, call: Call, verb: str, project: Project, apis: Sequence[str]) -> None:
        permission = f"serviceusage.services.{verb}"
        if self._policies.allowed(call.principal, permission, f"projects/{project.id}"):
            return
        what = (
            f"service [{', '.join(apis)}]" if apis else f"services for consumer container [projects/{project.number}]"
        )
        raise RpcError(
            Code.PERMISSION_DENIED,
            f"Permission denied to {verb} {what}",
            _precondition(
                "googleapis.com", f"?error_code=110002&permission={permission}&resource=projects/{project.id}"
            ),
            error_info("AUTH_PERMISSION_DENIED", HOST, permission=permission, resource=f"projects/{project.id}"),
        )

    def _require_bind(self, call: Call, apis: Sequence[str]) -> None:
        """Whose API it is must let the caller use it: https://cloud.google.com/service-infrastructure/docs/manage-access"""
        producers = {api: self._managed.producer(api) for api in apis if api in self._managed}
        closed = [
            api
            for api, producer in producers.items()
            if not self._policies.allowed(call.principal, "servicemanagement.services.bind", f"projects/{producer}")
        ]
        if closed:
            raise not_found_or_denied(closed)


def not_found_or_denied(apis: Sequence[str]) -> RpcError:
    names = ",".join(apis)
    return RpcError(
        Code.PERMISSION_DENIED,
        f"Not found or permission denied for service(s): {names}.",
        _precondition("googleapis.com", f"?error_code=220002&services={names}"),
        error_info("SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED", HOST, services=names),
    )


def billing_not_found(project: Project, apis: Sequence[str]) -> RpcError:
    names = ",".join(apis)
    return failed_precondition(
        f"Billing account for project '{project.number}' is not found. Billing must be enabled for activation of "
        f"service(s) '{names}' to proceed.",
        _precondition(
            "googleapis.com/billing-enabled", f"?error_code=390001&project={project.number}&services={names}"
        ),
        error_info(
            "UREQ_PROJECT_BILLING_NOT_FOUND", f"{HOST}/billing-enabled", project=str(project.number), services=names
        ),
    )


def _precondition(kind: str, subject: str) -> error_details_pb2.PreconditionFailure:
    failure = error_details_pb2.PreconditionFailure()
    failure.violations.add(type=kind, subject=subject)
    return failure


def _metadata(project: Project, apis: Sequence[str]) -> Any:
    return MetadataPb(resource_names=[f"services/{api}/projectSettings/{project.number}" for api in apis])

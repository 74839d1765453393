"""How a function comes up and goes: Google's service asks Artifact Registry, Cloud Build and Cloud Run, as clients do.

https://cloud.google.com/functions/docs/building and https://cloud.google.com/functions/docs/concepts/version-comparison
"""

from __future__ import annotations

import asyncio
from typing import Any

from google.cloud import artifactregistry_v1, run_v2
from google.cloud.devtools import cloudbuild_v1
from google.longrunning import operations_pb2
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code

from infra.emulator.functions.state import Functions, State
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call
from infra.emulator.projects.projects import Projects

RUN, BUILDS = "google.cloud.run.v2.Services", "google.cloud.run.v2.Builds"
REGISTRY = "google.devtools.artifactregistry.v1.ArtifactRegistry"
REPOSITORY = "gcf-artifacts"
LIMIT_S, POLL_S = 3600.0, 0.1  # of a build, as Cloud Build has it
BuildMetadataPb: Any = cloudbuild_v1.BuildOperationMetadata.pb()
LABELS = {"goog-managed-by": "cloudfunctions"}
# https://cloud.google.com/functions/docs/reference/rest/v2/projects.locations.functions#ServiceConfig
TIMEOUT_S, MEMORY, CPU, CONCURRENCY = 60, "256M", "0.1666", 1
INGRESS = {
    2: run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY,
    3: run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER,
}


class Deployment:
    def __init__(self, cloud: Cloud, functions: Functions) -> None:
        self._cloud, self._functions, self._projects = cloud, functions, cloud.get(Projects)

    async def deploy(self, function: Any, principal: str) -> Message:
        """Builds and serves what `function` says; stores how that ended, and answers it. Raises what went wrong."""
        try:
            image = await self._build(function, principal)
            service = await self.serve(function, image, principal)
        except RpcError as error:
            self._functions.put(function, State.FAILED, error.status.message)
            raise
        function.url = function.service_config.uri = service.uri
        function.service_config.service = service.name
        function.service_config.revision = service.latest_ready_revision.rpartition("/")[2]
        return self._functions.put(function, State.ACTIVE)  # type: ignore[no-any-return]

    async def remove(self, function: Any, principal: str) -> None:
        """Its service goes first; one that never came to be is no obstacle."""
        request = run_v2.DeleteServiceRequest.pb()(name=_service(function.name))
        try:
            await self._finished(await self._ask(f"{RUN}/DeleteService", request, principal))
        except RpcError as error:
            if error.status.code != Code.NOT_FOUND:
                self._functions.put(function, State.FAILED, error.status.message)
                raise
        self._functions.table.delete(function.name)

    async def _build(self, function: Any, principal: str) -> str:
        parent, name = function.name.split("/functions/")
        _, project, _, region = parent.split("/")
        config = function.build_config
        await self._ensure_repository(parent, principal)
        config.docker_repository = f"{parent}/repositories/{REPOSITORY}"
        place = f"{project}__{region.replace('-', '--')}__{name.replace('_', '__')}"
        request = run_v2.SubmitBuildRequest.pb()(
            parent=parent,
            image_uri=f"{region}-docker.pkg.dev/{project}/{REPOSITORY}/{place}:version_1",
            service_account=config.service_account,
        )
        source = config.source.storage_source
        request.storage_source.bucket, request.storage_source.object_ = source.bucket, source.object_
        request.storage_source.generation = source.generation
        request.buildpack_build.runtime = config.runtime
        request.buildpack_build.function_target = config.entry_point
        request.buildpack_build.environment_variables.update(config.environment_variables)
        answer = await self._ask(f"{BUILDS}/SubmitBuild", request, principal)
        config.build = await self._built(answer.build_operation)
        return str(request.image_uri)

    async def _built(self, operation: operations_pb2.Operation) -> str:
        """The name of the build, once it has succeeded."""
        metadata = BuildMetadataPb()
        operation.metadata.Unpack(metadata)
        try:
            await self._finished(operation)
        except RpcError as error:
            what = f"Build failed with status: FAILURE. {error.status.message}. See its log in Cloud Build."
            raise RpcError(Code.INVALID_ARGUMENT, what) from error
        return str(metadata.build.name)

    async def _ensure_repository(self, parent: str, principal: str) -> None:
        repository = artifactregistry_v1.Repository.pb()(format_=artifactregistry_v1.Repository.Format.DOCKER)
        request = artifactregistry_v1.CreateRepositoryRequest.pb()(
            parent=parent, repository_id=REPOSITORY, repository=repository
        )
        try:
            await self._finished(await self._ask(f"{REGISTRY}/CreateRepository", request, principal))
        except RpcError as error:
            if error.status.code != Code.ALREADY_EXISTS:
                raise

    async def serve(self, function: Any, image: str, principal: str) -> Any:
        """The Cloud Run service of a function, once its image serves. Raises what went wrong."""
        request = run_v2.UpdateServiceRequest.pb()(service=_run_service(function, image), allow_missing=True)
        await self._finished(await self._ask(f"{RUN}/UpdateService", request, principal))
        request = run_v2.GetServiceRequest.pb()(name=_service(function.name))
        service = await self._ask(f"{RUN}/GetService", request, principal)
        if service.terminal_condition.state != run_v2.Condition.State.CONDITION_SUCCEEDED:
            raise RpcError(
                Code.INTERNAL,
                f"Could not create or update Cloud Run service {service.name.rpartition('/')[2]}, Container "
                f"Healthcheck failed. {service.terminal_condition.message}",
            )
        return service

    async def _ask(self, method: str, request: Any, principal: str) -> Any:
        handler = self._cloud.handlers[f"/{method}"]
        return await handler.run(request, Call(method, "cloudfunctions.googleapis.com", principal))

    async def _finished(self, operation: operations_pb2.Operation) -> None:
        """Waits for an operation of another API. Raises its error."""
        async with asyncio.timeout(LIMIT_S):
            # Cloud Build keeps its operations itself, and nobody is told when one is done.
            while not (done := await self._cloud.operations.wait(operation.name, LIMIT_S)).done:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        if done.HasField("error"):
            raise RpcError(done.error.code, done.error.message)


def _service(function: str) -> str:
    return function.replace("/functions/", "/services/").replace("_", "-").lower()


def _run_service(function: Any, image: str) -> Any:
    """The service that Google makes of a function."""
    said = function.service_config
    service = run_v2.Service.pb()(name=_service(function.name), labels={**function.labels, **LABELS})
    service.ingress = INGRESS.get(said.ingress_settings, run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL)
    template = service.template
    template.timeout.FromSeconds(said.timeout_seconds)
    template.service_account = said.service_account_email
    template.max_instance_request_concurrency = said.max_instance_request_concurrency
    template.scaling.max_instance_count = said.max_instance_count
    template.scaling.min_instance_count = said.min_instance_count
    container = template.containers.add(image=image)
    container.resources.cpu_idle = True
    cpu = f"{float(said.available_cpu):.3f}".rstrip("0").rstrip(".")  # Cloud Run counts in thousandths
    container.resources.limits.update({"memory": said.available_memory, "cpu": cpu})
    for name, value in sorted(said.environment_variables.items()):
        container.env.add(name=name, value=value)
    return service

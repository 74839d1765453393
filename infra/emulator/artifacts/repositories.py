"""google.devtools.artifactregistry.v1: repositories, their policies, and the project's settings."""

from __future__ import annotations

import re
from typing import Any

from google.cloud import artifactregistry_v1 as ar
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, field_mask_pb2

from infra.emulator.artifacts.catalogue import Repository
from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.listing import page
from infra.emulator.artifacts.references import registry_uri
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import already_exists, invalid, unimplemented
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.locations import check_location

SERVICE = "google.devtools.artifactregistry.v1.ArtifactRegistry"
OperationMetadata = ar.OperationMetadata.pb()
REPOSITORY_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
# What UpdateRepository may change; the rest is fixed at creation.
MUTABLE = {
    "description", "labels", "docker_config", "maven_config", "cleanup_policies", "cleanup_policy_dry_run",
    "vulnerability_scanning_config", "virtual_repository_config", "remote_repository_config",
}  # fmt: skip


class Repositories:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._policies, self._catalogue = cloud, cloud.get(Policies), cloud.get(Images).catalogue

    @rpc(f"{SERVICE}/CreateRepository", permission="artifactregistry.repositories.create", resource="parent")
    async def create(self, request: Any, _: Call) -> operations_pb2.Operation:
        check_location(request.parent)
        if not REPOSITORY_ID.fullmatch(request.repository_id):
            raise invalid(
                f"Invalid repository id '{request.repository_id}': must be 1 to 63 lower-case letters, digits or "
                "hyphens, begin with a letter and end with a letter or digit.",
                "repository_id",
            )
        if not request.repository.format_:
            raise invalid("repository format must be specified", "repository.format")
        _refuse_unserved(request.repository)
        name = f"{request.parent}/repositories/{request.repository_id}"
        self._refuse_existing(name)
        return self._operation(name, self._create(name, request.repository))

    async def _create(self, name: str, wanted: Any) -> Any:
        await self._cloud.behaviour.pause("artifacts.repository")
        self._refuse_existing(name)
        repository = Repository()
        repository.CopyFrom(wanted)
        repository.name, repository.size_bytes = name, 0
        repository.mode = repository.mode or ar.Repository.Mode.STANDARD_REPOSITORY
        repository.create_time.GetCurrentTime()
        repository.update_time.CopyFrom(repository.create_time)
        self._catalogue.repositories.put(name, repository)
        return repository

    def _refuse_existing(self, name: str) -> None:
        if name in self._catalogue.repositories:
            raise already_exists("the repository already exists")

    @rpc(f"{SERVICE}/GetRepository", permission="artifactregistry.repositories.get")
    async def get(self, request: Any, _: Call) -> Any:
        repository = self._catalogue.repository(request.name)
        repository.registry_uri = registry_uri(repository.name)
        return repository

    @rpc(f"{SERVICE}/ListRepositories", permission="artifactregistry.repositories.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        project, _, location = request.parent.partition("/locations/")
        if location != "-":
            check_location(request.parent)
        prefix = f"{project}/locations/" if location == "-" else f"{request.parent}/repositories/"
        repositories, token = page(self._catalogue.repositories, prefix, request)
        return ar.ListRepositoriesResponse.pb()(repositories=repositories, next_page_token=token)

    @rpc(
        f"{SERVICE}/UpdateRepository",
        permission="artifactregistry.repositories.update",
        resource="repository.name",
    )
    async def update(self, request: Any, _: Call) -> Any:
        repository = self._catalogue.repository(request.repository.name)
        paths = list(request.update_mask.paths) or sorted(MUTABLE)
        if fixed := {path.partition(".")[0] for path in paths} - MUTABLE:
            raise invalid(f"fields cannot be updated: {', '.join(sorted(fixed))}", "update_mask")
        mask = field_mask_pb2.FieldMask(paths=paths)
        mask.MergeMessage(request.repository, repository, replace_message_field=True, replace_repeated_field=True)
        _refuse_unserved(repository)
        repository.update_time.GetCurrentTime()
        self._catalogue.repositories.put(repository.name, repository)
        return repository

    @rpc(f"{SERVICE}/DeleteRepository", permission="artifactregistry.repositories.delete")
    async def delete(self, request: Any, _: Call) -> operations_pb2.Operation:
        self._catalogue.repository(request.name)
        return self._operation(request.name, self._delete(request.name))

    async def _delete(self, name: str) -> empty_pb2.Empty:
        await self._cloud.behaviour.pause("artifacts.repository")
        self._catalogue.delete_repository(name)
        self._policies.delete(name)
        return empty_pb2.Empty()

    def _operation(self, name: str, work: Any) -> operations_pb2.Operation:
        parent = name.partition("/repositories/")[0]
        return self._cloud.operations.start(
            f"{parent}/operations/{self._cloud.operations.new_id()}", OperationMetadata(), work
        )

    @rpc(
        f"{SERVICE}/GetIamPolicy",
        permission="artifactregistry.repositories.getIamPolicy",
        resource="resource",
    )
    async def get_policy(self, request: iam_policy_pb2.GetIamPolicyRequest, _: Call) -> policy_pb2.Policy:
        self._catalogue.repository(request.resource)
        return self._policies.get(request.resource)

    @rpc(
        f"{SERVICE}/SetIamPolicy",
        permission="artifactregistry.repositories.setIamPolicy",
        resource="resource",
    )
    async def set_policy(self, request: iam_policy_pb2.SetIamPolicyRequest, _: Call) -> policy_pb2.Policy:
        self._catalogue.repository(request.resource)
        return self._policies.set(request.resource, request.policy)

    @rpc(f"{SERVICE}/TestIamPermissions", resource="resource")
    async def test_permissions(
        self, request: iam_policy_pb2.TestIamPermissionsRequest, call: Call
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        held = [p for p in request.permissions if self._policies.allowed(call.principal, p, request.resource)]
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=held)

    @rpc(f"{SERVICE}/GetProjectSettings", permission="artifactregistry.projectsettings.get")
    async def settings(self, request: Any, _: Call) -> Any:
        disabled = ar.ProjectSettings.RedirectionState.REDIRECTION_FROM_GCR_IO_DISABLED
        return ar.ProjectSettings.pb()(name=request.name, legacy_redirection_state=disabled)


def _refuse_unserved(repository: Any) -> None:
    """Raises UNIMPLEMENTED for what would be taken and then never do what it does at Google."""
    kind, mode = ar.Repository.Format(repository.format_), ar.Repository.Mode(repository.mode)
    if kind not in (ar.Repository.Format.FORMAT_UNSPECIFIED, ar.Repository.Format.DOCKER):
        raise unimplemented(f"Artifact Registry's format {kind.name} (only DOCKER is)")
    if mode not in (ar.Repository.Mode.MODE_UNSPECIFIED, ar.Repository.Mode.STANDARD_REPOSITORY):
        raise unimplemented(f"Artifact Registry's mode {mode.name} (only STANDARD_REPOSITORY is)")
    if repository.cleanup_policies and not repository.cleanup_policy_dry_run:
        raise unimplemented("Carrying out Artifact Registry's cleanup policies (a dry run, which deletes nothing, is)")

"""Repositories that would be taken and never do what they do at Google are refused."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import artifactregistry_v1 as ar
from google.protobuf import duration_pb2, field_mask_pb2

from tests.conftest import PROJECT
from tests.infra.emulator.emulated_registry import PARENT, new_repository

KIND, MODE = ar.Repository.Format, ar.Repository.Mode
POLICIES = {
    "old": ar.CleanupPolicy(
        id="old", action="DELETE", condition=ar.CleanupPolicyCondition(older_than=duration_pb2.Duration(seconds=60))
    )
}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format_": KIND.NPM}, "format NPM"),
        ({"format_": KIND.APT}, "format APT"),
        ({"format_": KIND.DOCKER, "mode": MODE.REMOTE_REPOSITORY}, "mode REMOTE_REPOSITORY"),
        ({"format_": KIND.DOCKER, "mode": MODE.VIRTUAL_REPOSITORY}, "mode VIRTUAL_REPOSITORY"),
        ({"format_": KIND.DOCKER, "cleanup_policies": POLICIES}, "cleanup policies"),
    ],
    ids=["npm", "apt", "remote", "virtual", "cleanup policies"],
)
def test_a_repository_that_would_hold_or_do_nothing_is_not_made(
    client: ar.ArtifactRegistryClient, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match=f"{said}.* is not emulated by the local Google Cloud"):
        client.create_repository(parent=PARENT, repository_id="none", repository=ar.Repository(**fields))


def test_cleanup_policies_are_kept_for_a_dry_run_alone(client: ar.ArtifactRegistryClient) -> None:
    name = new_repository()
    repository = ar.Repository(name=name, cleanup_policies=POLICIES, cleanup_policy_dry_run=True)
    mask = field_mask_pb2.FieldMask(paths=["cleanup_policies", "cleanup_policy_dry_run"])
    assert client.update_repository(repository=repository, update_mask=mask).cleanup_policies.keys() == {"old"}
    repository = ar.Repository(name=name, cleanup_policy_dry_run=False)
    mask = field_mask_pb2.FieldMask(paths=["cleanup_policy_dry_run"])
    with pytest.raises(exceptions.MethodNotImplemented, match="cleanup policies"):
        client.update_repository(repository=repository, update_mask=mask)


def test_a_region_that_is_none_has_no_repositories(client: ar.ArtifactRegistryClient) -> None:
    with pytest.raises(exceptions.PermissionDenied, match="Location mars-1 is not found"):
        client.list_repositories(parent=f"projects/{PROJECT}/locations/mars-1")

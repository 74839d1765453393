"""A role anywhere in a project is a use of the account that has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from google.cloud import artifactregistry_v1, secretmanager_v1
from google.cloud.storage import Client
from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.gcp.calls.clients import use_credentials
from tasks.cleanup.kinds.account_uses import emails, policy_members
from tests.conftest import OTHER_PROJECT
from tests.infra.emulator.identities import new_identity

READER = "roles/secretmanager.secretAccessor"
REGION = f"projects/{OTHER_PROJECT}/locations/europe-west4"


def wanted(resource: str, role: str, member: str) -> iam_policy_pb2.SetIamPolicyRequest:
    policy = policy_pb2.Policy(bindings=[{"role": role, "members": [member]}])
    return iam_policy_pb2.SetIamPolicyRequest(resource=resource, policy=policy)


def on_a_secret(name: str, member: str) -> None:
    client = secretmanager_v1.SecretManagerServiceClient()
    secret = secretmanager_v1.Secret(replication={"automatic": {}})
    made = client.create_secret(parent=f"projects/{OTHER_PROJECT}", secret_id=name, secret=secret)
    client.set_iam_policy(request=wanted(made.name, READER, member))


def on_a_repository(name: str, member: str) -> None:
    """In a region that no environment is in."""
    client = artifactregistry_v1.ArtifactRegistryClient()
    repository = artifactregistry_v1.Repository(format_="DOCKER")
    made = client.create_repository(parent=REGION, repository_id=name, repository=repository).result()
    client.set_iam_policy(request=wanted(made.name, "roles/artifactregistry.reader", member))


def on_a_bucket(name: str, member: str) -> None:
    bucket = Client(project=OTHER_PROJECT).create_bucket(f"{OTHER_PROJECT}-{name}")
    policy = bucket.get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {member}})
    bucket.set_iam_policy(policy)


@pytest.mark.parametrize("grant", [on_a_secret, on_a_repository, on_a_bucket])
async def test_an_account_with_a_role_on_a_single_thing_is_in_use(
    grant: Callable[[str, str], None], cloud_env: dict[str, str], tmp_path: Path
) -> None:
    use_credentials(None)
    account = new_identity(tmp_path, project=OTHER_PROJECT)
    assert account.email not in emails(await policy_members(OTHER_PROJECT, ()))
    grant(f"used-{account.email.partition('@')[0]}", account.member)
    assert account.email in emails(await policy_members(OTHER_PROJECT, ()))
    use_credentials(None)

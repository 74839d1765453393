"""A role anywhere in a project is a use of the account that has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from google.auth.transport.requests import Request
from google.cloud import artifactregistry_v1, secretmanager_v1
from google.cloud.storage import Client
from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.gcp.calls.clients import use_credentials
from infra.gcp.iam.activity import last_authentications
from tasks.cleanup.kinds.account_uses import AccountUses, policy_members
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT, emails
from tests.conftest import OTHER_PROJECT, LocalCloud
from tests.infra.emulator.identities import new_identity
from tests.tasks.cleanup.estate import a_manifest, faulty
from tests.tasks.cleanup.looks import a_look

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


async def test_an_account_that_anybody_has_authenticated_as_is_in_use(
    cloud_env: dict[str, str], tmp_path: Path
) -> None:
    use_credentials(None)
    used, unused = (new_identity(tmp_path, project=OTHER_PROJECT) for _ in range(2))
    used.credentials.refresh(Request())
    known = await last_authentications(OTHER_PROJECT)
    assert used.email in known
    assert unused.email not in known


async def test_where_google_does_not_tell_who_authenticated_every_account_counts_as_used(
    cloud: LocalCloud, cloud_env: dict[str, str]
) -> None:
    """A machine's account may have its roles in a folder or in another project: none of its own names it."""
    use_credentials(None)
    look = a_look((a_manifest(OTHER_PROJECT, ["service_accounts"]),))
    assert not [each for each in (await AccountUses().list(look)).claims if each.any_of]
    off: dict[str, object] = {
        "method": "policyanalyzer.activities.query",
        "code": "PERMISSION_DENIED",
        "reason": "SERVICE_DISABLED",
    }
    with faulty(cloud, off):
        found = await AccountUses().list(look)
    assert [each.by for each in found.claims if each.any_of == (SERVICE_ACCOUNT,)] == [
        "it cannot be told who authenticated as it of late "
        f"(policyanalyzer.googleapis.com of {OTHER_PROJECT}: PERMISSION_DENIED)"
    ]
    assert not [each for each in found.listings if each.doubt]


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

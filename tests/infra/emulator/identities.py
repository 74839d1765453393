"""Service accounts with few rights, made as a user makes them: through IAM, with a key file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from google.cloud import iam_admin_v1, resourcemanager_v3
from google.iam.v1 import iam_policy_pb2
from google.oauth2 import service_account

from tests.conftest import PROJECT

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Identity:
    """`key_file` is what GOOGLE_APPLICATION_CREDENTIALS may name."""

    email: str
    key_file: Path

    @property
    def member(self) -> str:
        return f"serviceAccount:{self.email}"

    @property
    def credentials(self) -> service_account.Credentials:
        credentials: service_account.Credentials = service_account.Credentials.from_service_account_file(
            str(self.key_file), scopes=SCOPES
        )
        return credentials


def new_identity(folder: Path, roles: Iterable[str] = (), project: str = PROJECT) -> Identity:
    """An account that has exactly `roles` on the project; needs the deployer's environment (`cloud_env`)."""
    iam = iam_admin_v1.IAMClient()
    account = iam.create_service_account(name=f"projects/{project}", account_id=f"limited-{next(_numbers)}")
    key = iam.create_service_account_key(name=account.name)
    key_file = folder / f"{account.email}.json"
    key_file.write_bytes(key.private_key_data)
    identity = Identity(account.email, key_file)
    for role in roles:
        grant(identity.member, role, project)
    return identity


def grant(member: str, role: str, project: str = PROJECT) -> None:
    """Adds a binding to the project's policy: read, modify, write."""
    projects = resourcemanager_v3.ProjectsClient()
    policy = projects.get_iam_policy(resource=f"projects/{project}")
    policy.bindings.add(role=role, members=[member])
    request = iam_policy_pb2.SetIamPolicyRequest(resource=f"projects/{project}", policy=policy)
    projects.set_iam_policy(request=request)

"""Service accounts with few rights, made as a user makes them: through IAM, with a key file."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.auth import crypt, jwt
from google.auth.transport.requests import Request
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


def grant_on(account: Identity, member: str, role: str) -> None:
    """Adds a binding to the account's own policy."""
    iam, name = iam_admin_v1.IAMClient(), f"projects/-/serviceAccounts/{account.email}"
    policy = iam.get_iam_policy(request=iam_policy_pb2.GetIamPolicyRequest(resource=name))
    policy.bindings.add(role=role, members=[member])
    iam.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=name, policy=policy))


@dataclass(frozen=True)
class Workload:
    """Something outside that a pool of the project trusts; `key_file` acts as itself, or as the account given."""

    member: str
    key_file: Path


def new_workload(folder: Path, subject: Identity, acts_as: Identity | None = None) -> Workload:
    """One whose own identity provider says that it is `subject`: https://google.aip.dev/auth/4117"""
    number = resourcemanager_v3.ProjectsClient().get_project(name=f"projects/{PROJECT}").name.removeprefix("projects/")
    pool = f"iam.googleapis.com/projects/{number}/locations/global/workloadIdentityPools/builders"
    theirs: Any = service_account.IDTokenCredentials.from_service_account_file(
        str(subject.key_file), target_audience=f"https://{pool}/providers/elsewhere"
    )
    theirs.refresh(Request())
    (folder / "subject-token").write_text(theirs.token)
    file = {
        "type": "external_account",
        "audience": f"//{pool}/providers/elsewhere",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": str(folder / "subject-token")},
    }
    if acts_as is not None:
        file["service_account_impersonation_url"] = _access_tokens_of(acts_as)
    return Workload(f"principal://{pool}/subject/{subject.email}", _kept(folder / "workload.json", file))


def impersonating(folder: Path, source: Path, target: Identity) -> Path:
    """The file of `gcloud auth application-default login --impersonate-service-account`."""
    file = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": _access_tokens_of(target),
        "source_credentials": json.loads(source.read_text()),
        "delegates": [],
    }
    return _kept(folder / "impersonating.json", file)


def _access_tokens_of(account: Identity) -> str:
    return f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account.email}:generateAccessToken"


def _kept(path: Path, file: object) -> Path:
    path.write_text(json.dumps(file))
    return path


def grant(member: str, role: str, project: str = PROJECT) -> None:
    """Adds a binding to the project's policy: read, modify, write."""
    projects = resourcemanager_v3.ProjectsClient()
    policy = projects.get_iam_policy(resource=f"projects/{project}")
    policy.bindings.add(role=role, members=[member])
    request = iam_policy_pb2.SetIamPolicyRequest(resource=f"projects/{project}", policy=policy)
    projects.set_iam_policy(request=request)


def signed(key: dict[str, Any], *, lifetime_s: int = 600, **claims: Any) -> str:
    """A token that the holder of a key file has signed by itself."""
    now = int(time.time())
    issued = min(now, now + lifetime_s) - 10
    content = {"iss": key["client_email"], "sub": key["client_email"], "aud": "https://x/", "iat": issued}
    signer = crypt.RSASigner.from_string(key["private_key"], key["private_key_id"])
    return bytes(jwt.encode(signer, {**content, "exp": now + lifetime_s, **claims})).decode()

"""Service accounts: the ones people make, and the ones that every project has from the start."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

from google.cloud.iam_admin_v1.types import ServiceAccount
from google.iam.v1 import policy_pb2

from infra.emulator.iam.identity import Identity
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.errors import already_exists, invalid, not_found
from infra.emulator.kernel.store import Store
from infra.emulator.projects.projects import Project, Projects

AccountPb: Any = ServiceAccount.pb()
# https://cloud.google.com/iam/docs/service-accounts-create: 6 to 30 characters
ACCOUNT_ID = re.compile(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])")
# A member that is an account people have made: its e-mail and its project.
OWN_MEMBER = re.compile(r"serviceAccount:([a-z0-9-]+@([a-z0-9-]+)\.iam\.gserviceaccount\.com)")
# Accounts of Google's own that act in a project, and the roles they have there from the start.
# https://cloud.google.com/iam/docs/service-agents and https://cloud.google.com/build/docs/cloud-build-service-account
AGENTS = {
    "{number}@cloudbuild.gserviceaccount.com": "roles/cloudbuild.builds.builder",
    "service-{number}@gcp-sa-cloudbuild.iam.gserviceaccount.com": "roles/cloudbuild.serviceAgent",
    "service-{number}@serverless-robot-prod.iam.gserviceaccount.com": "roles/run.serviceAgent",
    "service-{number}@gcp-sa-artifactregistry.iam.gserviceaccount.com": "roles/artifactregistry.serviceAgent",
}


class Accounts:
    def __init__(self, store: Store, projects: Projects, identity: Identity, policies: Policies) -> None:
        self.table = store.messages("service-accounts", AccountPb)  # projects/{id}/serviceAccounts/{email}
        self._deleted = store.messages("deleted-accounts", AccountPb)  # by unique id
        self._projects, self._identity, self._policies = projects, identity, policies
        policies.guards.append(self._check_members)

    def _check_members(self, resource: str, policy: policy_pb2.Policy) -> None:
        """A policy may keep naming an account that is gone, but nobody may be added who does not exist."""
        before = {member for binding in self._policies.get(resource).bindings for member in binding.members}
        for member in {member for binding in policy.bindings for member in binding.members} - before:
            own = OWN_MEMBER.fullmatch(member)
            if (
                own
                and self._projects.exists(own[2])
                and f"projects/{own[2]}/serviceAccounts/{own[1]}" not in self.table
            ):
                raise invalid(f"Service account {own[1]} does not exist.")

    def seed(self, project: Project) -> None:
        """What a project has once its APIs are on: the default compute account and Google's agents."""
        compute = f"{project.number}-compute@developer.gserviceaccount.com"
        if not self.ensure(project.id, compute, "Compute Engine default service account"):
            return
        self._policies.grant(f"projects/{project.id}", "roles/editor", f"serviceAccount:{compute}")
        for email, role in AGENTS.items():
            member = f"serviceAccount:{email.format(number=project.number)}"
            self._policies.grant(f"projects/{project.id}", role, member)

    def ensure(self, project_id: str, email: str, display_name: str) -> bool:
        """Makes an account unless it is there; whether it was made now."""
        missing = f"projects/{project_id}/serviceAccounts/{email}" not in self.table
        if missing:
            self._put(project_id, email, display_name, "")
        return missing

    def create(self, project_id: str, account_id: str, display_name: str = "", description: str = "") -> AccountPb:
        """Raises INVALID_ARGUMENT for the id, ALREADY_EXISTS."""
        if not ACCOUNT_ID.fullmatch(account_id):
            raise invalid(
                "The account ID must be between 6 and 30 lowercase alphanumeric characters and dashes, and start with "
                "a letter."
            )
        email = f"{account_id}@{project_id}.iam.gserviceaccount.com"
        if f"projects/{project_id}/serviceAccounts/{email}" in self.table:
            raise already_exists(f"Service account {account_id} already exists within project projects/{project_id}.")
        return self._put(project_id, email, display_name, description)

    def _put(self, project_id: str, email: str, display_name: str, description: str) -> AccountPb:
        unique_id = f"1{secrets.randbelow(10**20):020}"
        account = AccountPb(
            name=f"projects/{project_id}/serviceAccounts/{email}",
            project_id=project_id,
            unique_id=unique_id,
            oauth2_client_id=unique_id,
            email=email,
            display_name=display_name,
            description=description,
        )
        return self.put(account)

    def put(self, account: AccountPb) -> AccountPb:
        """Stores an account under a new etag."""
        account.etag = str(time.time_ns()).encode()
        self.table.put(account.name, account)
        return account

    def find(self, name: str) -> AccountPb:
        """`name` is projects/{id, number or -}/serviceAccounts/{email or unique id}; raises NOT_FOUND."""
        _, project, _, key = name.split("/")[:4]
        if project == "-":
            found = next((a for a in self.table.list() if key in (a.email, a.unique_id)), None)
        else:
            parent = self._projects.canonical(f"projects/{project}")
            found = next((a for a in self.table.list(f"{parent}/") if key in (a.email, a.unique_id)), None)
        if found is None:
            raise not_found(f"Unknown service account: {key}")
        return found

    def set_disabled(self, account: AccountPb, disabled: bool) -> None:
        account.disabled = disabled
        self.put(account)
        self._identity.set_enabled(account.email, not disabled)

    def delete(self, account: AccountPb) -> None:
        """Its keys and tokens stop working; policies go on naming it, as Google's do."""
        self._identity.forget(account.email)
        self._policies.delete(account.name)
        self._deleted.put(account.unique_id, account)
        self.table.delete(account.name)

    def deleted(self, unique_id: str) -> AccountPb:
        """Raises NOT_FOUND."""
        account = self._deleted.get(unique_id)
        if account is None:
            raise not_found(f"Service account {unique_id} was not found among the deleted ones.")
        return account

    def undelete(self, account: AccountPb) -> AccountPb:
        self._deleted.delete(account.unique_id)
        return self.put(account)

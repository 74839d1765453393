"""Service accounts, and APIs that a project has enabled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.emulator.terraform.client import Cloud, Problem, seconds
from infra.emulator.terraform.kinds.resource import may_delete, parts_of, placed, policy
from infra.emulator.terraform.schema import ID, POLICY, PROJECT, Block, State, computed, new, optional

IAM = "https://iam.googleapis.com/v1"
USAGE = "https://serviceusage.googleapis.com/v1"
PAGE = "200"  # https://cloud.google.com/service-usage/docs/reference/rest/v1/services/list


ACCOUNT = Block(
    {
        **ID, **PROJECT, **POLICY,
        "account_id": new(),
        "create_ignore_already_exists": optional("bool"),
        "description": optional(),
        "disabled": optional("bool", default=False),
        "display_name": optional(),
        "email": computed(), "member": computed(), "name": computed(), "unique_id": computed(),
    },
    timeouts=("create",),
)  # fmt: skip


@dataclass(frozen=True)
class ServiceAccount:
    """The real provider waits 10 more seconds after it has made one, until IAM knows it everywhere."""

    kind: str = "google_service_account"
    block: Block = ACCOUNT

    def _name(self, cloud: Cloud, state: State) -> str:
        project = placed(cloud, self.block, state)["project"]
        email = state.get("email") or f"{state['account_id']}@{project}.iam.gserviceaccount.com"
        return f"projects/{project}/serviceAccounts/{email}"

    def create(self, cloud: Cloud, state: State, _config: State) -> State:
        account = {"displayName": state["display_name"] or "", "description": state["description"] or ""}
        project = state["project"]
        body = {"accountId": state["account_id"], "serviceAccount": account}
        try:
            cloud.call("POST", f"{IAM}/projects/{project}/serviceAccounts", body)
        except Problem as problem:
            if problem.code != 409 or not state["create_ignore_already_exists"]:
                raise Problem(f"Error creating service account: {problem}", problem.code) from problem
        if state["disabled"]:
            cloud.call("POST", f"{IAM}/{self._name(cloud, state)}:disable", {})
        return {**state, "id": self._name(cloud, state)}

    def read(self, cloud: Cloud, state: State) -> State | None:
        body = cloud.get(f"{IAM}/{self._name(cloud, state)}")
        if body is None:
            return None
        email = body["email"]
        return {
            **state,
            **policy(self.block, state),
            "id": body["name"],
            "name": body["name"],
            "project": body["projectId"],
            "account_id": email.split("@")[0],
            "email": email,
            "member": f"serviceAccount:{email}",
            "unique_id": body.get("uniqueId"),
            "display_name": body.get("displayName") or state.get("display_name"),
            "description": body.get("description") or state.get("description"),
            "disabled": body.get("disabled", False),
        }

    def update(self, cloud: Cloud, prior: State, state: State) -> None:
        name = self._name(cloud, prior)
        changed = [field for field in ("display_name", "description") if prior[field] != state[field]]
        if changed:
            account = {"displayName": state["display_name"] or "", "description": state["description"] or ""}
            cloud.call("PATCH", f"{IAM}/{name}", {"serviceAccount": account, "updateMask": ",".join(changed)})
        if bool(prior["disabled"]) != bool(state["disabled"]):
            cloud.call("POST", f"{IAM}/{name}:{'disable' if state['disabled'] else 'enable'}", {})

    def delete(self, cloud: Cloud, state: State) -> None:
        if not may_delete("ServiceAccount", state):
            return
        try:
            cloud.call("DELETE", f"{IAM}/{self._name(cloud, state)}")
        except Problem as problem:
            if problem.code != 404:
                raise

    def locate(self, cloud: Cloud, text: str) -> State:
        parts = parts_of(text, "projects/{project}/serviceAccounts/{email}", cloud)
        return {**parts, "account_id": parts["email"].split("@")[0]}


SERVICE = Block(
    {
        **ID, **PROJECT, **POLICY,
        "service": new(),
        "check_if_service_has_usage_on_destroy": optional("bool"),
        "disable_dependent_services": optional("bool"),
        "disable_on_destroy": optional("bool"),
    },
    timeouts=("create", "read", "update", "delete"),
)  # fmt: skip


@dataclass(frozen=True)
class ProjectService:
    """An API is on or off: to switch on what is on already is no error, and it is not switched off unless asked."""

    kind: str = "google_project_service"
    block: Block = SERVICE

    def create(self, cloud: Cloud, state: State, _config: State) -> State:
        project, service = state["project"], state["service"]
        if service not in self._enabled(cloud, project):
            try:
                started = cloud.call("POST", f"{USAGE}/projects/{project}/services/{service}:enable", {})
                cloud.wait(USAGE, started, seconds((state.get("timeouts") or {}).get("create")))
            except Problem as problem:
                asked = f'Request `Enable Project Services "{project}/{service}"` returned error'
                raise Problem(f"Error creating Service: {asked}: {problem}", problem.code) from problem
        return self._shown(state, project)

    def _enabled(self, cloud: Cloud, project: str) -> set[str]:
        def pages() -> Iterator[Mapping[str, Any]]:
            query = {"filter": "state:ENABLED", "pageSize": PAGE}
            while True:
                page = cloud.call("GET", f"{USAGE}/projects/{project}/services", query=query)
                yield page
                if not page.get("nextPageToken"):
                    return
                query["pageToken"] = page["nextPageToken"]

        return {each["name"].rsplit("/", 1)[1] for page in pages() for each in page.get("services", ())}

    def _shown(self, state: State, project: str) -> State:
        return {**state, **policy(self.block, state), "project": project, "id": f"{project}/{state['service']}"}

    def read(self, cloud: Cloud, state: State) -> State | None:
        project = placed(cloud, self.block, state)["project"]
        return self._shown(state, project) if state["service"] in self._enabled(cloud, project) else None

    def update(self, cloud: Cloud, _prior: State, state: State) -> None:
        """What can be changed is about its end alone."""

    def delete(self, cloud: Cloud, state: State) -> None:
        if state.get("disable_on_destroy") is not True or not may_delete("ProjectService", state):
            return
        name = f"projects/{state['project']}/services/{state['service']}"
        body = {"disableDependentServices": bool(state.get("disable_dependent_services"))}
        cloud.wait(USAGE, cloud.call("POST", f"{USAGE}/{name}:disable", body))

    def locate(self, cloud: Cloud, text: str) -> State:
        parts = parts_of(text, "{project}/{service}", cloud)
        return {**parts, "id": f"{parts['project']}/{parts['service']}"}

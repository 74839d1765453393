"""Secret Manager: secrets, and versions of them with data that may be written only."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from infra.emulator.terraform.client import Cloud, Problem
from infra.emulator.terraform.kinds.iam import IamMember
from infra.emulator.terraform.kinds.resource import Rest, policy
from infra.emulator.terraform.schema import (
    ID,
    LABELS,
    POLICY,
    PROJECT,
    Attribute,
    Block,
    Nested,
    State,
    computed,
    either,
    new,
    optional,
    required,
)  # fmt: skip

BASE = "https://secretmanager.googleapis.com/v1"
ENCRYPTION = Nested(Block({"kms_key_name": required()}), single=True)
REPLICA = Block({"location": new(), "customer_managed_encryption": ENCRYPTION})
REPLICATION = Block(
    {
        "auto": Nested(Block({"customer_managed_encryption": ENCRYPTION}), single=True, force_new=True),
        "user_managed": Nested(
            Block({"replicas": Nested(REPLICA, required=True, force_new=True)}), single=True, force_new=True
        ),
    },
    one_of=(("auto", "user_managed"),),
)
SECRET = Rest(
    "google_secret_manager_secret",
    "Secret",
    Block(
        {
            **ID, **PROJECT, **POLICY, **LABELS,
            "secret_id": new(),
            "replication": Nested(REPLICATION, required=True, single=True, force_new=True),
            "version_destroy_ttl": optional(),
            "create_time": computed(), "name": computed(), "expire_time": either(),
        }
    ),
    BASE,
    "projects/{project}/secrets",
    "secret_id",
    "secretId",
    body=("replication", "labels", "version_destroy_ttl"),
    mask=("labels", "version_destroy_ttl"),
    waits=False,
)  # fmt: skip
ACCESSOR = IamMember(
    "google_secret_manager_secret_iam_member",
    f"{BASE}/{{secret_id}}",
    "secret_id",
    {"secret_id": new(), "project": Attribute(optional=True, computed=True, force_new=True)},
    reads="GET",
)


VERSION = Block(
    {
        **ID, **POLICY,
        "secret": new(),
        "enabled": optional("bool", default=True),
        "is_secret_data_base64": optional("bool", force_new=True),
        "secret_data": optional(force_new=True, sensitive=True),
        "secret_data_wo": optional(write_only=True),
        "secret_data_wo_version": optional(force_new=True),
        "create_time": computed(), "destroy_time": computed(), "name": computed(), "version": computed(),
    },
    one_of=(("secret_data", "secret_data_wo"),),
    together=(("secret_data_wo", "secret_data_wo_version"),),
)  # fmt: skip


@dataclass(frozen=True)
class SecretVersion:
    """Whoever gives `secret_data` has it in the state; `secret_data_wo` is in no plan and no state."""

    kind: str = "google_secret_manager_secret_version"
    block: Block = VERSION

    def create(self, cloud: Cloud, state: State, config: State) -> State:
        text = config.get("secret_data_wo") or state["secret_data"] or ""
        data = text if state["is_secret_data_base64"] else base64.b64encode(text.encode()).decode()
        try:
            made = cloud.call("POST", f"{BASE}/{state['secret']}:addVersion", {"payload": {"data": data}})
        except Problem as problem:
            raise Problem(f"Error creating SecretVersion: {problem}", problem.code) from problem
        state = {**state, "name": made["name"], "id": made["name"]}
        if state["enabled"] is False:
            cloud.call("POST", f"{BASE}/{made['name']}:disable", {})
        return state

    def read(self, cloud: Cloud, state: State) -> State | None:
        body = cloud.get(f"{BASE}/{state['name']}")
        if body is None or body.get("state") == "DESTROYED":
            return None
        return {
            **state,
            **policy(self.block, state),
            "id": body["name"],
            "name": body["name"],
            "version": body["name"].rsplit("/", 1)[1],
            "secret": state.get("secret") or body["name"].split("/versions/")[0],
            "secret_data": self._data(cloud, state, body),
            "secret_data_wo": None,
            "enabled": body["state"] == "ENABLED",
            "create_time": body.get("createTime"),
            "destroy_time": body.get("destroyTime"),
        }

    def _data(self, cloud: Cloud, state: State, body: dict[str, Any]) -> str | None:
        """Read back, unless it is written only or cannot be read."""
        if state.get("secret_data_wo_version") or body["state"] != "ENABLED":
            return state.get("secret_data")
        data = str(cloud.call("GET", f"{BASE}/{body['name']}:access")["payload"]["data"])
        return data if state.get("is_secret_data_base64") else base64.b64decode(data).decode()

    def update(self, cloud: Cloud, prior: State, state: State) -> None:
        if bool(prior["enabled"]) != bool(state["enabled"]):
            cloud.call("POST", f"{BASE}/{prior['name']}:{'enable' if state['enabled'] else 'disable'}", {})

    def delete(self, cloud: Cloud, state: State) -> None:
        verb = {"ABANDON": "", "DISABLE": "disable"}.get(state.get("deletion_policy") or "DELETE", "destroy")
        if verb:
            try:
                cloud.call("POST", f"{BASE}/{state['name']}:{verb}", {})
            except Problem as problem:
                if problem.code != 404:
                    raise

    def locate(self, _cloud: Cloud, text: str) -> State:
        if "/versions/" not in text:
            raise Problem(f'Import id "{text}" doesn\'t match projects/PROJECT/secrets/SECRET/versions/VERSION')
        return {"name": text, "id": text, "secret": text.split("/versions/")[0]}

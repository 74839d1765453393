"""Cloud Storage: buckets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from infra.emulator.terraform.client import Cloud, Problem
from infra.emulator.terraform.kinds.resource import (
    labelled,
    labels_read,
    may_delete,
    parts_of,
    placed,
    policy,
)  # fmt: skip
from infra.emulator.terraform.planning import normal
from infra.emulator.terraform.schema import (
    ID,
    LABELS,
    POLICY,
    PROJECT,
    Block,
    Nested,
    State,
    computed,
    either,
    new,
    optional,
    required,
)  # fmt: skip

BASE = "https://storage.googleapis.com/storage/v1/b"


BUCKET = Block(
    {
        **ID, **PROJECT, **POLICY, **LABELS,
        "name": new(),
        "location": new(fold=str.upper),
        "force_destroy": optional("bool", default=False),
        "public_access_prevention": either(),
        "storage_class": optional(default="STANDARD"),
        "uniform_bucket_level_access": either("bool"),
        "versioning": Nested(Block({"enabled": required("bool")}), single=True),
        "project_number": computed("number"), "self_link": computed(), "time_created": computed(),
        "updated": computed(), "url": computed(),
    },
    timeouts=("create", "read", "update"),
)  # fmt: skip


@dataclass(frozen=True)
class Bucket:
    """A location is compared without case, and kept in capitals as Google shows it."""

    kind: str = "google_storage_bucket"
    block: Block = BUCKET

    def create(self, cloud: Cloud, state: State, _config: State) -> State:
        body = {"name": state["name"], "location": state["location"].upper(), **_settings(state)}
        cloud.call("POST", BASE, body, {"project": state["project"]})
        return {**state, "id": state["name"]}

    def read(self, cloud: Cloud, state: State) -> State | None:
        body = cloud.get(f"{BASE}/{state['name']}")
        if body is None:
            return None
        access = body.get("iamConfiguration", {})
        versioning = body.get("versioning", {}).get("enabled")
        asked = state.get("versioning") or []
        return {
            **state,
            **policy(self.block, state),
            **labels_read(self.block, state, body),
            **placed(cloud, self.block, state),
            "id": state["name"],
            "location": body["location"],
            "force_destroy": state.get("force_destroy") or False,
            "storage_class": body.get("storageClass"),
            "public_access_prevention": access.get("publicAccessPrevention"),
            "uniform_bucket_level_access": bool(access.get("uniformBucketLevelAccess", {}).get("enabled")),
            "versioning": [{"enabled": bool(versioning)}] if asked or versioning is not None else [],
            "project_number": int(body["projectNumber"]),
            "self_link": body.get("selfLink"),
            "time_created": body.get("timeCreated"),
            "updated": body.get("updated"),
            "url": f"gs://{state['name']}",
        }

    def update(self, cloud: Cloud, prior: State, state: State) -> None:
        before, after = _settings(prior), _settings(state)
        patch = {name: value for name, value in after.items() if normal(before.get(name)) != normal(value)}
        if "labels" in patch:  # a label that is to go is set to null
            patch["labels"] = dict.fromkeys(before["labels"]) | after["labels"]
        if patch:
            cloud.call("PATCH", f"{BASE}/{state['name']}", patch)

    def delete(self, cloud: Cloud, state: State) -> None:
        if not may_delete("Bucket", state):
            return
        name = state["name"]
        try:
            for each in self._objects(cloud, name):
                if not state.get("force_destroy"):
                    why = f"Error trying to delete bucket {name} containing objects without `force_destroy` set to true"
                    raise Problem(why)
                where = f"{BASE}/{name}/o/{quote(each['name'], safe='')}"
                cloud.call("DELETE", where, query={"generation": each["generation"]})
            cloud.call("DELETE", f"{BASE}/{name}")
        except Problem as problem:
            if problem.code != 404:
                raise

    def _objects(self, cloud: Cloud, name: str) -> Iterator[Mapping[str, Any]]:
        query = {"versions": "true"}
        while True:
            page = cloud.call("GET", f"{BASE}/{name}/o", query=query)
            yield from page.get("items", ())
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]

    def locate(self, cloud: Cloud, text: str) -> State:
        return parts_of(text, "{project}/{name}", cloud)


def _settings(state: State) -> dict[str, Any]:
    """What can be changed of a bucket, as the API says it."""
    access = {"uniformBucketLevelAccess": {"enabled": bool(state.get("uniform_bucket_level_access"))}}
    if prevention := state.get("public_access_prevention"):
        access["publicAccessPrevention"] = prevention
    versioning = state.get("versioning") or []
    return {
        "iamConfiguration": access,
        "labels": labelled(state).get("labels") or {},
        "storageClass": state.get("storage_class") or "STANDARD",
        **({"versioning": {"enabled": bool(versioning[0]["enabled"])}} if versioning else {}),
    }

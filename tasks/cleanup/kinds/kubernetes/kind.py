"""What all kinds of objects in a cluster have in common: whose they are, what keeps them, copies, careful steps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from infra.gcp.calls.errors import GoogleError
from infra.gcp.kubernetes.api import Resource
from infra.gcp.storage import objects
from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import TIMEOUT_S, Found, Look, Reference, ResourceKind
from tasks.cleanup.kinds.kubernetes import reach
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tasks.cleanup.kinds.kubernetes.ownership import hold_on, version_hold
from tasks.cleanup.kinds.kubernetes.references import Name
from tasks.cleanup.kinds.kubernetes.things import SINCE, Thing
from tasks.cleanup.kinds.kubernetes.view import all_clusters
from tasks.failures.roles import Need
from tasks.model import Request

ANNOTATE = Action("keep a copy and annotate")  # undone by taking the annotation away; the copy is in the bucket
WEEK_S = 7 * DAY_S


def permissions(resources: str, *, read: bool = False) -> tuple[Need, ...]:
    """To list them, and where they may be deleted to annotate and delete them. GKE's permissions are of the project."""
    lister = "roles/container.developer" if resources == "secrets" else "roles/container.viewer"
    listing = Need(f"container.{resources}.list", lister, "see what is in a Kubernetes cluster")
    writing = (
        Need(f"container.{resources}.{verb}", "roles/container.developer", "retention.foreign is delete")
        for verb in ("get", "update", "delete")
    )
    return (listing,) if read else (listing, *writing)


class ClusterKind(ResourceKind):
    """A kind of objects in a cluster: what is of `resources`, by group and kind."""

    traits = Traits(standing=True, first=ANNOTATE, settle_s=WEEK_S)
    dated_by_us = True
    live = True
    resources: ClassVar[frozenset[tuple[str, str]]]

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return ()  # `Clusters` names what must have been asked

    async def list(self, look: Look) -> Found:
        """Each once, though several environments may have a part in one namespace."""
        items: dict[str, Item] = {}
        parts: dict[str, dict[Reference, None]] = {}
        for cluster in await look.once(all_clusters):
            for thing in self.of(cluster):
                item = self.item(thing, cluster, look)
                items[item.name] = in_both(items[item.name], item, look.app) if item.name in items else item
                for name in self.parts(thing, cluster):
                    needed = referred(cluster.meant(name), cluster)
                    parts.setdefault(item.name, {}).update(dict.fromkeys(needed))
        return Found(tuple(items.values()), parts={name: tuple(needed) for name, needed in parts.items() if needed})

    def of(self, cluster: Cluster) -> Iterable[Thing]:
        return (each for each in cluster.things if is_one_of(each.resource, self.resources))

    def item(self, thing: Thing, cluster: Cluster, look: Look) -> Item:
        name = item_name(thing, cluster)
        used = cluster.is_defined(thing) or self.used_by(thing, cluster)
        since = None if used else self.prepared(thing, cluster, look)
        return Item(
            self.kind,
            name,
            group="",
            owner=cluster.owner_of(thing, look.app),
            uploaded=thing.touched,
            labels=thing.labels,
            etag=thing.etag,
            locked=hold_on(thing)
            or version_hold(thing, cluster.settings, cluster.live)
            or self.kept_by(thing, cluster),
            prepared=since,
        )

    def prepared(self, thing: Thing, cluster: Cluster, look: Look) -> datetime | None:
        """Since when it has been annotated and unused, both: in between it may have been in use again."""
        if thing.since is None or thing.uid in cluster.named_uids:
            return None
        return max(thing.since, look.memory.disabled.get(item_name(thing, cluster), look.clock()))

    def parts(self, thing: Thing, cluster: Cluster) -> Iterable[Name]:
        """What it cannot do without, and goes after it."""
        return ()

    def used_by(self, thing: Thing, cluster: Cluster) -> str:
        """Who uses it, beside those that name it; '' for nobody."""
        return ""

    def kept_by(self, thing: Thing, cluster: Cluster) -> str:
        """Why its delete would cost what cannot be had again; '' if it would not."""
        return ""

    def preparation(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the reversible first step changes beside the annotation, as a merge patch."""
        return {}

    async def again(self, before: Item) -> Item | None:
        async with reach.opened(before) as (api, _, path):
            found = await api.get(path, metadata=True)
        if found is None:
            return None
        meta = found["metadata"]
        return replace(before, etag=f"{meta['uid']}/{meta['resourceVersion']}")

    async def first(self, item: Item) -> bool:
        async with reach.opened(item) as (api, reached, path):
            found = await self._as_planned(item, await api.get(path, metadata=self.secret), reached)
            if found is None:
                return False
            change = self.preparation(found)
            meta = dict(change.get("metadata", {}))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            meta["annotations"] = {**meta.get("annotations", {}), SINCE: now}
            return await api.patch(path, {**change, "metadata": meta}, *item.etag.split("/"))

    async def delete(self, item: Item) -> bool:
        async with reach.opened(item) as (api, reached, path):
            found = await self._as_planned(item, await api.get(path, metadata=self.secret), reached)
            uid, version = item.etag.split("/")
            return found is not None and await api.delete(path, uid, version, TIMEOUT_S)

    def undo_first(self, item: Item) -> str:
        where, what = spoken(item)
        return f"kubectl {where}annotate {what} {SINCE}-"

    def undo_delete(self, item: Item) -> str:
        reached, _ = reach.of(item)
        copied = f"gs://{reached.bucket}/{_copy(reached.app, item.etag.split('/')[0])}"
        values = ", which has no values" if self.secret else ""
        return f"gcloud storage cat {copied} | kubectl create -f -{values}"

    @property
    def secret(self) -> bool:
        return ("", "Secret") in self.resources

    async def _as_planned(
        self, item: Item, found: Mapping[str, Any] | None, reached: reach.Reach
    ) -> Mapping[str, Any] | None:
        """A copy of it is in the bucket by then. Raises GoogleError ABORTED if it is not what was planned."""
        if found is None:
            return None
        meta = found["metadata"]
        if f"{meta['uid']}/{meta['resourceVersion']}" != item.etag:
            raise GoogleError(f"cleanup.{item.kind}", "ABORTED", f"{item.name} has changed since the plan was made.")
        copied = json.dumps(copy_of(found, secret=self.secret), indent=2)
        await objects.write_text(reached.bucket, _copy(reached.app, meta["uid"]), copied.encode(), None)
        return found


def _copy(app: str, uid: str) -> str:
    return f"cleanup/{app}/copies/{uid}.json"


def spoken(item: Item) -> tuple[str, str]:
    """As kubectl is told: of /apis/apps/v1/namespaces/shop/deployments/web "-n shop " and "deployments/web"."""
    _, path = reach.of(item)
    *_, place, plural, name = path.split("/")
    namespaced = plural != "namespaces"
    return f"-n {place} " if namespaced else "", f"{plural}/{name}"


def copy_of(found: Mapping[str, Any], *, secret: bool) -> dict[str, Any]:
    """The manifest as `kubectl create -f` takes it. Of a Secret the names alone: nobody may read its values here."""
    meta = {key: value for key, value in found["metadata"].items() if key in ("name", "namespace", "labels", "uid")}
    if not secret:
        meta["annotations"] = found["metadata"].get("annotations") or {}
        return {**{key: value for key, value in found.items() if key != "status"}, "metadata": meta}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta}


def in_both(one: Item, other: Item, app: str) -> Item:
    """What two environments see alike: the app's if it is in either, held by what holds it in either."""
    times = [each.prepared for each in (one, other) if each.prepared]
    return replace(
        other,
        owner=app if app in (one.owner, other.owner) else other.owner,
        locked=one.locked or other.locked,
        prepared=max(times) if len(times) == len((one, other)) else None,
    )


def item_name(thing: Thing, cluster: Cluster) -> str:
    return f"{cluster.id}{thing.path}"


def is_one_of(resource: Resource, resources: frozenset[tuple[str, str]]) -> bool:
    return (resource.group, resource.kind) in resources


def referred(things: Iterable[Thing], cluster: Cluster) -> Iterable[Reference]:
    """What clean-up calls things; those that are nothing to clean up are left out."""
    for each in things:
        if word := WORDS.get((each.resource.group, each.resource.kind)):
            yield Reference(word, item_name(each, cluster))


def words(kind: Kind, *resources: tuple[str, str]) -> frozenset[tuple[str, str]]:
    """Says that objects of these groups and kinds are of that kind to clean-up."""
    WORDS.update(dict.fromkeys(resources, kind))
    return frozenset(resources)


WORDS: dict[tuple[str, str], Kind] = {}

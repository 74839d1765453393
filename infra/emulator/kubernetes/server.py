"""What the API server of a cluster does with objects: create, change, delete, with preconditions and propagation.

Controllers act before the answer is given, so that what follows from a change is there when its answer is.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from infra.emulator.kubernetes import applying
from infra.emulator.kubernetes.controllers import settle
from infra.emulator.kubernetes.defaults import counts_generations, filled
from infra.emulator.kubernetes.kinds import BUILT_IN, Kind
from infra.emulator.kubernetes.objects import Object, Objects, now
from infra.emulator.kubernetes.patches import APPLY, JSON, MERGE, STRATEGIC, json_patched, merged, strategic
from infra.emulator.kubernetes.status import (
    Refusal,
    about,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    method_not_allowed,
    modified,
    not_found,
)
from infra.emulator.kubernetes.validation import check, without_unknown
from infra.emulator.kubernetes.views import scale

NAMESPACE = BUILT_IN["", "namespaces"]
# https://kubernetes.io/docs/tasks/administer-cluster/namespaces/: kube-node-lease is not among them
IMMORTAL = ("default", "kube-public", "kube-system")
POLICIES = ("Foreground", "Background", "Orphan")
GRACE_S = 30
CHANGES: Mapping[str, Callable[[Any, Any], Any]] = {JSON: json_patched, MERGE: merged, STRATEGIC: strategic}
LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # of generated names


class ApiServer:
    """Of one cluster."""

    def __init__(self, cluster: str, objects: Objects) -> None:
        self.cluster, self.objects = cluster, objects

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        found = self.objects.get(self.cluster, kind, namespace, name)
        if found is None:
            raise not_found(kind, name)
        return found

    def create(self, kind: Kind, namespace: str, given: Mapping[str, Any], *, strict: bool, dry: bool) -> Object:
        new = self._read(kind, namespace, given, strict)
        meta = new["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + "".join(secrets.choice(LETTERS) for _ in range(5))
        for server_side in ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation"):
            meta.pop(server_side, None)
        check(kind, new)
        self._refuse_namespace(kind, namespace, str(meta["name"]))
        if self.objects.get(self.cluster, kind, namespace, meta["name"]) is not None:
            raise already_exists(kind, meta["name"])
        new = filled(kind, new)
        if counts_generations(kind):
            new["metadata"] = {**new["metadata"], "generation": 1}
        if dry:
            said = {**new["metadata"], "uid": "11111111-2222-4333-8444-555555555555", "creationTimestamp": now()}
            return {"apiVersion": kind.group_version, "kind": kind.kind, **new, "metadata": said}
        made = self.objects.add(self.cluster, kind, new)
        settle(self.objects, self.cluster)
        return made

    def _read(self, kind: Kind, namespace: str, given: Mapping[str, Any], strict: bool) -> Object:
        """A body as an object of that kind. Raises Refusal."""
        wanted = (given.get("apiVersion") or kind.group_version, given.get("kind") or kind.kind)
        if wanted != (kind.group_version, kind.kind):
            raise bad_request(
                f"the API version in the data ({wanted[0]}) does not match the expected API version "
                f"({kind.group_version})"
                if wanted[0] != kind.group_version
                else f"{wanted[1]} in version {kind.version!r} cannot be handled as a {kind.kind}"
            )
        new = copy.deepcopy(without_unknown(kind, given, strict))
        meta = dict(new.get("metadata") or {})
        if kind.namespaced:
            if meta.get("namespace", namespace) != namespace:
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
            meta["namespace"] = namespace
        meta.pop("managedFields", None)
        return {**new, "metadata": meta}

    def _refuse_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.namespaced:
            return
        found = self.objects.get(self.cluster, NAMESPACE, "", namespace)
        if found is None:
            raise not_found(NAMESPACE, namespace)
        if "deletionTimestamp" in found["metadata"]:
            text = f"namespace {namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(kind, name, why, [cause])

    def replace(
        self, kind: Kind, namespace: str, name: str, given: Mapping[str, Any], part: str, *, strict: bool, dry: bool
    ) -> Object:
        new = self._read(kind, namespace, given, strict)
        said = new["metadata"].get("name")
        if said != name:
            raise bad_request(f"the name of the object ({said}) does not match the name on the URL ({name})")
        return self._changed(kind, self.get(kind, namespace, name), new, part, dry=dry)

    def patch(
        self, kind: Kind, namespace: str, name: str, how: str, body: Any, query: Mapping[str, str], part: str = ""
    ) -> tuple[Object, bool]:
        """The object, and whether it has just been created, which only an apply does."""
        dry = bool(query.get("dryRun"))
        if how == APPLY:
            return self._apply(kind, namespace, name, body, query, dry)
        if how not in CHANGES:
            raise Refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        old = self.get(kind, namespace, name)
        custom = (kind.group, kind.plural) not in BUILT_IN
        if how == STRATEGIC and custom:
            text = "the body of the request was in an unknown format - accepted media types include: "
            text += f"{JSON}, {MERGE}, {APPLY}"
            raise Refusal(415, "UnsupportedMediaType", text, {})
        new = self._read(kind, namespace, CHANGES[how](old, body), query.get("fieldValidation") == "Strict")
        return self._changed(kind, old, new, part, dry=dry), False

    def scale(self, kind: Kind, namespace: str, name: str, how: str, body: Any) -> Object:
        """A change of the part that says how many; `how` is '' for a new Scale instead of the one there was."""
        old = self.get(kind, namespace, name)
        if not kind.scalable:
            raise method_not_allowed()
        before = scale(old)
        wanted = CHANGES[how](before, body) if how else body
        version = wanted["metadata"].get("resourceVersion") or old["metadata"]["resourceVersion"]
        meta = {**old["metadata"], "resourceVersion": version}
        spec = {**old["spec"], "replicas": int(wanted["spec"].get("replicas", 0))}
        return scale(self._changed(kind, old, {**old, "metadata": meta, "spec": spec}, "", dry=False))

    def _changed(self, kind: Kind, old: Object, new: Object, part: str, *, dry: bool) -> Object:
        meta, before = new["metadata"], old["metadata"]
        if meta.get("resourceVersion", before["resourceVersion"]) != before["resourceVersion"]:
            raise modified(kind, before["name"])
        if meta.get("uid", before["uid"]) != before["uid"]:
            why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {before['uid']}"
            raise conflict(kind, before["name"], why)
        own = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
        kept = {key: before[key] for key in (*own, "resourceVersion") if key in before}
        meta = {**{key: value for key, value in meta.items() if key not in own}, **kept}
        new = filled(kind, {**new, "metadata": meta})
        if kind.status:
            new |= {"status": old["status"]} if part != "status" and "status" in old else {}
            new = {**old, "status": new.get("status", {})} if part == "status" else new
        check(kind, new, old)
        if counts_generations(kind) and new.get("spec") != old.get("spec"):
            new["metadata"] = {**new["metadata"], "generation": before.get("generation", 1) + 1}
        if dry:
            return new
        changed = self.objects.change(self.cluster, kind, new)
        self._end_if_free(kind, changed)
        settle(self.objects, self.cluster)
        return changed

    def _end_if_free(self, kind: Kind, found: Object) -> None:
        meta = found["metadata"]
        if "deletionTimestamp" in meta and not meta.get("finalizers") and kind is not NAMESPACE:
            self.objects.remove(self.cluster, kind, found)

    def _apply(
        self, kind: Kind, namespace: str, name: str, body: Any, query: Mapping[str, str], dry: bool
    ) -> tuple[Object, bool]:
        """https://kubernetes.io/docs/reference/using-api/server-side-apply/"""
        manager = query.get("fieldManager", "")
        if not manager:
            what = "is required for apply patch"
            raise invalid("PatchOptions", "meta.k8s.io", "", "fieldManager", "FieldValueRequired", what)
        old = self.objects.get(self.cluster, kind, namespace, name)
        strict = query.get("fieldValidation") == "Strict"
        given = self._read(
            kind, namespace, {**body, "metadata": {**(body.get("metadata") or {}), "name": name}}, strict
        )
        if old is None:
            made = self.create(kind, namespace, given, strict=strict, dry=dry)
            if not dry:
                self.objects.set_managers(self.cluster, kind, made, {manager: applying.paths(given)})
            return made, True
        managers = self.objects.managers(self.cluster, kind, old)
        owned = applying.taken(kind, old, given, managers, manager, force=query.get("force") == "true")
        new = strategic(applying.without(old, managers, manager, owned[manager]), given)
        changed = self._changed(kind, old, new, "", dry=dry)
        if not dry:
            self.objects.set_managers(self.cluster, kind, changed, owned)
        return changed, False

    def delete(self, kind: Kind, namespace: str, name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """What is answered: a Status, or the object where it stays for a while."""
        policy = options.get("propagationPolicy")
        if policy is not None and policy not in POLICIES:
            shown = ", ".join(f'"{each}"' for each in (*POLICIES, "nil"))
            what = f'"{policy}": supported values: {shown}'
            raise invalid("DeleteOptions", "meta.k8s.io", "", "propagationPolicy", "FieldValueNotSupported", what)
        if kind is NAMESPACE and name in IMMORTAL:
            text = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
            raise Refusal(403, "Forbidden", text, {"name": name, "kind": "namespaces"})
        found = self.get(kind, namespace, name)
        _check_preconditions(kind, found, options.get("preconditions") or {})
        new = _being_deleted(kind, found, policy, options.get("gracePeriodSeconds"))
        if options.get("dryRun"):
            return new if _stays(kind, new) or kind.kind == "Pod" else _success(kind, found)
        if not _stays(kind, new):
            self.objects.remove(self.cluster, kind, found)
            settle(self.objects, self.cluster)
            return new if kind.kind == "Pod" else _success(kind, found)
        ending = self.objects.change(self.cluster, kind, new)
        settle(self.objects, self.cluster)
        return ending

    def delete_all(self, kind: Kind, namespace: str, found: list[Object], options: Mapping[str, Any]) -> None:
        if "deletecollection" not in kind.verbs:
            raise method_not_allowed()
        for each in found:
            meta = each["metadata"]
            if self.objects.get(self.cluster, kind, meta.get("namespace", ""), meta["name"]) is not None:
                self.delete(kind, meta.get("namespace", namespace), meta["name"], options)


def _check_preconditions(kind: Kind, found: Object, wanted: Mapping[str, Any]) -> None:
    meta = found["metadata"]
    uid, version = wanted.get("uid"), wanted.get("resourceVersion")
    if uid is not None and uid != meta["uid"]:
        why = f"the UID in the precondition ({uid}) does not match the UID in record ({meta['uid']}). "
        raise conflict(kind, meta["name"], f"{why}The object might have been deleted and then recreated", by_kind=True)
    if version is not None and version != meta["resourceVersion"]:
        why = f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
        why += f"({meta['resourceVersion']}). The object might have been modified"
        raise conflict(kind, meta["name"], why, by_kind=True)


def _being_deleted(kind: Kind, found: Object, policy: str | None, grace_s: Any) -> Object:
    """With what holds it up: finalizers, those of the policy among them, and the grace that a running pod has.

    https://kubernetes.io/docs/concepts/architecture/garbage-collection/#cascading-deletion: Jobs orphan by default.
    """
    meta = dict(found["metadata"])
    policy = policy or ("Orphan" if kind.kind == "Job" else "Background")
    own = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy)
    rest = [each for each in meta.get("finalizers", ()) if each not in ("foregroundDeletion", "orphan")]
    meta["finalizers"] = [*rest, *([own] if own else [])]
    if not meta["finalizers"]:
        del meta["finalizers"]
    meta.setdefault("deletionTimestamp", now())
    if kind is NAMESPACE:
        return {**found, "metadata": meta, "status": {**found.get("status", {}), "phase": "Terminating"}}
    running = kind.kind == "Pod" and found.get("spec", {}).get("nodeName")
    asked = meta.get("deletionGracePeriodSeconds", GRACE_S) if grace_s is None else int(grace_s)
    meta["deletionGracePeriodSeconds"] = asked if running else 0
    return {**found, "metadata": meta}


def _stays(kind: Kind, new: Object) -> bool:
    meta = new["metadata"]
    return bool(kind is NAMESPACE or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"))


def _success(kind: Kind, found: Object) -> dict[str, Any]:
    details = {**about(kind, found["metadata"]["name"]), "uid": found["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

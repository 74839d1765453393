"""How objects are changed: merge patch, JSON patch, strategic merge patch; server-side apply in `applying`.

https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""

from __future__ import annotations

import copy
from typing import Any

from infra.emulator.kubernetes.status import Refusal, bad_request

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
# By which key entries of lists are told apart; any other list is replaced as a whole.
# https://github.com/kubernetes/kubernetes/blob/master/api/openapi-spec, x-kubernetes-patch-merge-key
MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name", "volumes": "name", "env": "name",
    "volumeMounts": "mountPath", "ports": "containerPort", "imagePullSecrets": "name", "secrets": "name",
    "ownerReferences": "uid", "conditions": "type", "hostAliases": "ip", "volumeDevices": "devicePath",
}  # fmt: skip
SETS = {"finalizers"}  # lists of plain values that are merged


def merged(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merged(new.get(key), value)
    return new


def strategic(old: Any, patch: Any, key: str = "", of: str = "") -> Any:
    """With directives $patch, $deleteFromPrimitiveList, $retainKeys; $setElementOrder only sorts."""
    if isinstance(patch, dict):
        return _strategic_object(old, patch, key)
    if isinstance(patch, list) and isinstance(old, list):
        if key in SETS:
            return [*old, *(each for each in patch if each not in old)]
        by = "port" if key == "ports" and of == "spec" else MERGE_KEYS.get(key)
        if by and all(isinstance(each, dict) for each in patch):
            return _strategic_list(old, patch, by)
    return patch


def _strategic_object(old: Any, patch: dict[str, Any], name: str) -> Any:
    how = patch.get("$patch")
    new = {} if how == "replace" or not isinstance(old, dict) else dict(old)
    if "$retainKeys" in patch:
        new = {key: value for key, value in new.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            target = key.partition("/")[2]
            new[target] = [each for each in new.get(target, ()) if each not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            new.pop(key, None)
        else:
            new[key] = strategic(new.get(key), value, key, name)
    return new


def _strategic_list(old: list[Any], patch: list[Any], by: str) -> list[Any]:
    new = [copy.deepcopy(each) for each in old]
    for entry in patch:
        place = next((n for n, each in enumerate(new) if each.get(by) == entry.get(by)), None)
        if entry.get("$patch") == "delete":
            new = [each for each in new if each.get(by) != entry.get(by)]
        elif place is None:
            new.append(strategic({}, entry))
        else:
            new[place] = strategic(new[place], entry)
    return new


def json_patched(old: Any, operations: Any) -> Any:
    """RFC 6902: test, add, remove, replace, copy, move."""
    new = copy.deepcopy(old)
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        for each in operations:
            new = _operated(new, each)
    except (KeyError, IndexError, ValueError, TypeError):
        text = "the server rejected our request due to an error in our request"
        raise Refusal(422, "Invalid", text, {}) from None
    return new


def _operated(document: Any, operation: dict[str, Any]) -> Any:
    what, path = operation["op"], _path(operation["path"])
    if what == "test":
        if _at(document, path) != operation["value"]:
            raise ValueError(path)
        return document
    if what in ("copy", "move"):
        source = _path(operation["from"])
        value = copy.deepcopy(_at(document, source))
        if what == "move":
            _put(document, source, None, "remove")
        _put(document, path, value, "add")
        return document
    if what not in ("add", "replace", "remove"):
        raise ValueError(what)
    if not path:
        return operation.get("value")
    _put(document, path, operation.get("value"), what)
    return document


def _path(text: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _at(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _put(document: Any, path: list[str], value: Any, what: str) -> None:
    holder, last = _at(document, path[:-1]), path[-1]
    if isinstance(holder, list):
        place = len(holder) if last == "-" else int(last)
        if what != "add":
            del holder[place]
        if what != "remove":
            holder.insert(place, value)
        return
    if what == "remove" or (what == "replace" and last not in holder):
        del holder[last]
    if what != "remove":
        holder[last] = value

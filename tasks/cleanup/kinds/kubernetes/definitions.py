"""What is meant to be in a cluster: the manifests at the commit that is live, not at the one that is checked out.

Plain YAML only. What cannot be read, or has to be rendered first, is an error: objects would seem undefined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tasks.cleanup.kinds.kubernetes.things import Identity
from tasks.source.git import git

SUFFIXES = (".yaml", ".yml", ".json")
RENDERED = {"kustomization.yaml", "kustomization.yml", "Kustomization", "Chart.yaml"}
AT_ONCE = 8
# Where kinds are that were in another group once: https://kubernetes.io/docs/reference/using-api/deprecation-guide/
MOVED = {
    **{("extensions", kind): "apps" for kind in ("Deployment", "DaemonSet", "ReplicaSet")},
    **{("extensions", kind): "networking.k8s.io" for kind in ("Ingress", "NetworkPolicy")},
}


async def definitions(folder: Path, commit: str, path: str) -> tuple[Identity, ...]:
    """Of all files below `path`, from the folder of slipway.yaml on. Raises SourceError, ValueError."""
    listed = await git(folder, "ls-tree", "-r", "-z", "--name-only", commit, "--", f"./{path}")
    names = [name for name in listed.split("\0") if name]
    if rendered := next((name for name in names if name.rpartition("/")[2] in RENDERED), ""):
        raise ValueError(f"{rendered} has to be rendered first: give the folder of what comes of it.")
    gate = asyncio.Semaphore(AT_ONCE)

    async def read(name: str) -> list[Identity]:
        async with gate:
            return list(parsed(name, await git(folder, "show", f"{commit}:./{name}")))

    found = await asyncio.gather(*(read(name) for name in names if name.endswith(SUFFIXES)))
    return tuple(dict.fromkeys(each for some in found for each in some))


def parsed(name: str, text: str) -> Iterator[Identity]:
    """The objects of one file. Raises ValueError for what is no manifest."""
    try:
        documents = list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise ValueError(f"{name}{line} is no plain YAML: {getattr(error, 'problem', '') or error}.") from error
    for document in documents:
        if document is not None:
            yield from _objects(name, document)


def _objects(name: str, document: Any) -> Iterator[Identity]:
    if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
        raise ValueError(f"{name} has something that is no object of Kubernetes: it says no apiVersion or no kind.")
    if document["kind"] == "List" or (str(document["kind"]).endswith("List") and "items" in document):
        for item in document.get("items") or ():
            yield from _objects(name, item)
        return
    meta = document.get("metadata")
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        raise ValueError(f"{name}: a {document['kind']} has no name of its own.")
    group, kind = str(document["apiVersion"]).rpartition("/")[0], str(document["kind"])
    yield Identity(MOVED.get((group, kind), group), kind, str(meta.get("namespace") or ""), meta["name"])

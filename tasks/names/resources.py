"""The full names of resources: collections and ids in turn, `projects/acme/locations/europe-west1/services/api`. Pure.

https://google.aip.dev/122
"""

from __future__ import annotations

from collections.abc import Mapping


def service(project: str, region: str, name: str) -> str:
    """A Cloud Run service; `name` is its short one."""
    return f"projects/{project}/locations/{region}/services/{name}"


def revision(service: str, name: str) -> str:
    """A revision of the Cloud Run service, or worker pool, with the full name `service`."""
    return f"{service}/revisions/{name}"


def job(project: str, region: str, name: str) -> str:
    return f"projects/{project}/locations/{region}/jobs/{name}"


def worker_pool(project: str, region: str, name: str) -> str:
    return f"projects/{project}/locations/{region}/workerPools/{name}"


def repository(project: str, location: str, name: str) -> str:
    """A repository of Artifact Registry."""
    return f"projects/{project}/locations/{location}/repositories/{name}"


def parts(name: str) -> Mapping[str, str]:
    """The ids by collection, as they stand in the name, escapes included. Raises ValueError for no full name."""
    words = name.split("/")
    if len(words) % 2 or not all(words):
        raise ValueError(f"{name!r} is not the full name of a resource")
    return dict(zip(words[::2], words[1::2], strict=True))


def last(name: str) -> str:
    """The resource's own id; of a name that is short already, the name."""
    return name.rpartition("/")[2]

"""Secret Manager: which version of a secret can be used. Never the payload."""

from __future__ import annotations

from google.cloud import secretmanager_v1

from infra.gcp.calls.clients import client, read

ENABLED = secretmanager_v1.SecretVersion.State.ENABLED


async def enabled_version(project: str, secret: str, version: int | None = None) -> int | None:
    """The number of that version, or of the newest enabled one; None if it is missing or not enabled."""
    api = client(secretmanager_v1.SecretManagerServiceAsyncClient)
    parent = f"projects/{project}/secrets/{secret}"
    if version is not None:
        found = await read(
            "secretmanager.versions.get", api.get_secret_version, {"name": f"{parent}/versions/{version}"}
        )
        return version if found is not None and found.state == ENABLED else None
    request = {"parent": parent, "filter": "state:ENABLED", "page_size": 1}
    pager = await read("secretmanager.versions.list", api.list_secret_versions, request)
    newest = next(iter(pager.versions), None) if pager is not None else None  # newest first
    return None if newest is None else int(newest.name.rsplit("/", 1)[1])

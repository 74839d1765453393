"""Cloud Run v1: services, jobs and worker pools as `gcloud run` writes and reads them, and their IAM policies."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.rest import get_json

# By collection of v2 the one of v1: https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services/list
COLLECTIONS = {
    "services": "serving.knative.dev/v1/namespaces/{project}/services",
    "jobs": "run.googleapis.com/v1/namespaces/{project}/jobs",
    "workerPools": "run.googleapis.com/v1/namespaces/{project}/workerpools",
}
PAGE = 200
POLICY_VERSION = 3  # https://cloud.google.com/iam/docs/policies#versions: older ones lose conditions


async def list_objects(collection: str, project: str, region: str) -> list[dict[str, Any]]:
    """All objects of v1 there, whole. Raises GoogleError, UNAVAILABLE also for an answer that is not whole."""
    name = f"run.namespaces.{collection.lower()}.list"
    url = f"https://{region}-run.googleapis.com/apis/{COLLECTIONS[collection].format(project=project)}"
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        page = await get_json(name, f"{url}?{urlencode({'limit': PAGE, **({'continue': token} if token else {})})}")
        if missing := page.get("unreachable"):
            raise GoogleError(name, "UNAVAILABLE", f"Nobody could tell what is in {', '.join(missing)}.")
        found += page.get("items", ())
        token = (page.get("metadata") or {}).get("continue", "")
        if not token:
            return found


async def policy_of(resource: str) -> dict[str, Any]:
    """Who may do what with it, as `gcloud run … set-iam-policy` reads it. resource: its full name in v2."""
    asked = urlencode({"options.requestedPolicyVersion": POLICY_VERSION})
    kind = resource.split("/")[-2]
    found = await get_json(f"run.{kind}.getIamPolicy", f"https://run.googleapis.com/v2/{resource}:getIamPolicy?{asked}")
    return {"bindings": found.get("bindings", []), "version": POLICY_VERSION}

"""Whom IAM policies name, where no client package of ours reads them: Pub/Sub, and whatever Cloud Asset knows.

https://cloud.google.com/asset-inventory/docs/reference/rest/v1/TopLevel/searchAllIamPolicies
https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.rest import get_json, listed

ASSETS = "https://cloudasset.googleapis.com/v1/projects/{}:searchAllIamPolicies"
PUBSUB = "https://pubsub.googleapis.com/v1"
AT_ONCE = 16
UNKNOWN = frozenset({"NOT_FOUND", "PERMISSION_DENIED", "UNIMPLEMENTED"})  # the API is off, or not for us


async def searched_members(project: str) -> frozenset[str]:
    """Everybody whom a policy of anything in the project names; nobody where Cloud Asset cannot be asked."""
    found = await _listed("cloudasset.assets.searchAllIamPolicies", ASSETS.format(project), "results")
    return frozenset(member for each in found for member in _members(each.get("policy", {})))


async def messaging_members(project: str) -> frozenset[str]:
    """Everybody whom Pub/Sub names: in policies of topics and subscriptions, and as whom pushes authenticate.

    Nobody where it cannot be asked.
    """
    topics, subscriptions = await asyncio.gather(
        _listed("pubsub.topics.list", f"{PUBSUB}/projects/{project}/topics", "topics"),
        _listed("pubsub.subscriptions.list", f"{PUBSUB}/projects/{project}/subscriptions", "subscriptions"),
    )
    pushing = (each.get("pushConfig", {}).get("oidcToken", {}).get("serviceAccountEmail") for each in subscriptions)
    gate = asyncio.Semaphore(AT_ONCE)

    async def members(name: str) -> frozenset[str]:
        async with gate:
            return await _policy_members(name)

    policies = await asyncio.gather(*(members(each["name"]) for each in (*topics, *subscriptions)))
    return frozenset().union(*policies, (f"serviceAccount:{email}" for email in pushing if email))


async def _policy_members(name: str) -> frozenset[str]:
    """Of a topic or subscription."""
    query = urlencode({"options.requestedPolicyVersion": 3})
    try:
        return frozenset(_members(await get_json("pubsub.getIamPolicy", f"{PUBSUB}/{name}:getIamPolicy?{query}")))
    except GoogleError as error:
        if error.status in UNKNOWN:
            return frozenset()
        raise


async def _listed(name: str, url: str, field: str) -> list[dict[str, Any]]:
    try:
        return await listed(name, url, field)
    except GoogleError as error:
        if error.status in UNKNOWN:
            return []
        raise


def _members(policy: dict[str, Any]) -> Iterable[str]:
    return (member for binding in policy.get("bindings", ()) for member in binding.get("members", ()))

"""Policy Analyzer: when service accounts were last used to authenticate, as far as the local cloud has seen it.

https://cloud.google.com/policy-intelligence/docs/reference/policyanalyzer/rest/v1/projects.locations.activityTypes.activities/query
"""

from __future__ import annotations

from aiohttp import web

from infra.emulator.iam.accounts import Accounts
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.json_apis import Door, Resource
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.handlers import Call, route

HOST = "policyanalyzer.googleapis.com"
KIND = "serviceAccountLastAuthentication"
PERMISSION = "policyanalyzer.serviceAccountLastAuthenticationActivities.query"
MOST = 1000


class PolicyAnalyzer:
    def __init__(self, cloud: Cloud) -> None:
        self._accounts, self._identity = cloud.get(Accounts), cloud.get(Identity)
        self._door = Door(cloud, HOST)

    @route(
        "GET",
        "/v1/projects/{project}/locations/global/activityTypes/{kind}/activities:query",
        host=HOST,
        method="policyanalyzer.activities.query",
    )
    async def query(self, request: web.Request, call: Call, project: str, kind: str) -> web.Response:
        found = self._door.admit(call, project, PERMISSION)
        if kind != KIND or request.query.get("filter"):
            raise invalid("The local cloud answers of all accounts, and when they last authenticated, only.")
        size, token = request.query.get("pageSize", "0"), request.query.get("pageToken", "")
        if not size.isdigit() or int(size) > MOST:
            raise invalid(f"pageSize must be from 0 to {MOST}.", "page_size")
        known = [
            _activity(account.name, account.unique_id, when)
            for account in self._accounts.table.list(f"projects/{found.id}/")
            if (when := self._identity.last_seen(account.email)) and account.name > token.removeprefix(_SITE)
        ]
        page = known[: int(size) or MOST]
        more = {"nextPageToken": page[-1]["fullResourceName"]} if len(known) > len(page) else {}
        return web.json_response({"activities": page, **more} if page else {})


_SITE = "//iam.googleapis.com/"


def _activity(name: str, unique_id: str, when: str) -> Resource:
    return {
        "fullResourceName": f"{_SITE}{name}",
        "activityType": KIND,
        "activity": {"lastAuthenticatedTime": when, "serviceAccount": {"serviceAccountId": unique_id}},
    }

"""Policy Intelligence: when service accounts were last used to authenticate, wherever that was.

https://cloud.google.com/policy-intelligence/docs/activity-analyzer-service-account-authentication
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from infra.gcp.calls.rest import get_json

URL = "https://policyanalyzer.googleapis.com/v1/{}/locations/global/activityTypes/{}/activities:query?{}"
API = "policyanalyzer.googleapis.com"
KIND = "serviceAccountLastAuthentication"


async def last_authentications(project: str) -> Mapping[str, datetime]:
    """By e-mail, of the accounts for which Google knows it. Raises GoogleError."""
    found: dict[str, datetime] = {}
    token = ""
    while True:
        url = URL.format(f"projects/{project}", KIND, urlencode({"pageSize": 1000, "pageToken": token}))
        page = await get_json("policyanalyzer.activities.query", url)
        for each in page.get("activities", ()):
            when = each.get("activity", {}).get("lastAuthenticatedTime")
            if when:
                found[each["fullResourceName"].rpartition("/")[2]] = datetime.fromisoformat(when)
        token = page.get("nextPageToken", "")
        if not token:
            return found

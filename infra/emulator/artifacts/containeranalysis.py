"""Container Analysis: what the scanner has found in images, and how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

from infra.emulator.artifacts.occurrences import Occurrences
from infra.emulator.artifacts.scanner import Scanner
from infra.emulator.iam.admission import Admission
from infra.emulator.kernel import filters
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, invalid
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.projects import Projects

HOST = "containeranalysis.googleapis.com"
PATH = "/v1/projects/{project}/occurrences"
LARGEST_PAGE = 1000
Found = list[dict[str, Any]]
# https://cloud.google.com/artifact-analysis/docs/manage-metadata: what the filter calls resourceUrl is resourceUri
FIELDS = {
    "resourceUrl": "resourceUri",
    "resource_url": "resourceUri",
    "resourceUri": "resourceUri",
    "kind": "kind",
    "noteName": "noteName",
}


class ContainerAnalysis:
    def __init__(self, cloud: Cloud) -> None:
        self._projects, self._admission = cloud.get(Projects), cloud.get(Admission)
        self._scanner, self._noted = cloud.get(Scanner), cloud.get(Occurrences)

    @route("GET", PATH, method="containeranalysis.occurrences.list", host=HOST)
    async def list(self, request: web.Request, call: Call, project: str) -> web.Response:
        """`gcloud artifacts docker images describe` asks for an image's vulnerabilities, provenance and so on."""
        size, token = request.query.get("pageSize", "0") or "0", request.query.get("pageToken", "") or "0"
        if not size.isdecimal() or not token.isdecimal() or int(size) > LARGEST_PAGE:
            raise invalid("Request contains an invalid argument.")
        all_found = self._wanted(request, call, project)
        start, many = int(token), int(size) or 20
        answer: dict[str, Any] = {"occurrences": all_found[start : start + many]}
        if start + many < len(all_found):
            answer["nextPageToken"] = str(start + many)
        return web.json_response({key: value for key, value in answer.items() if value})

    @route("GET", f"{PATH}:vulnerabilitySummary", method="containeranalysis.occurrences.getSummary", host=HOST)
    async def summary(self, request: web.Request, call: Call, project: str) -> web.Response:
        """https://cloud.google.com/artifact-analysis/docs/reference/rest/v1/projects.occurrences/getVulnerabilitySummary

        For each image how many there are of each severity, and, without one, in all.
        """
        total: Counter[tuple[str, str]] = Counter()
        fixable: Counter[tuple[str, str]] = Counter()
        for each in self._wanted(request, call, project):
            if each["kind"] == "VULNERABILITY":
                for severity in (each["vulnerability"]["effectiveSeverity"], "SEVERITY_UNSPECIFIED"):
                    total[each["resourceUri"], severity] += 1
                    fixable[each["resourceUri"], severity] += each["vulnerability"]["fixAvailable"]
        counts = [
            {
                "resourceUri": uri,
                "severity": severity,
                "fixableCount": str(fixable[uri, severity]),
                "totalCount": str(many),
            }
            for (uri, severity), many in total.items()
        ]
        return web.json_response({"counts": counts} if counts else {})

    def _wanted(self, request: web.Request, call: Call, project: str) -> Found:
        """What the request's filter admits."""
        found = self._projects.find(project)
        self._projects.require(found, HOST)
        self._admission.require(call.principal, "containeranalysis.occurrences.list", f"projects/{project}", HOST)
        wanted = filters.predicate(request.query.get("filter", ""), _restriction, _refused)
        there = (*self._scanner.occurrences(found.id), *self._noted.of(found.id))
        return [each for each in there if wanted(each)]


def _restriction(restriction: filters.Restriction) -> Callable[[dict[str, Any]], bool]:
    match restriction:
        case filters.Comparison((field,), "=", str(value)) if field in FIELDS:
            name = FIELDS[field]
            return lambda occurrence: bool(occurrence[name] == value)
        case filters.Comparison((field,), "!=", str(value)) if field in FIELDS:
            name = FIELDS[field]
            return lambda occurrence: bool(occurrence[name] != value)
        case filters.Call("has_prefix" | "hasPrefix", (field, value)) if field in FIELDS:
            name = FIELDS[field]
            return lambda occurrence: str(occurrence[name]).startswith(value)
        case filters.Comparison(("noteId" | "noteProjectId" as part,), "=", str(value)):
            index = {"noteProjectId": 1, "noteId": 3}[part]
            return lambda occurrence: bool(occurrence["noteName"].split("/")[index] == value)
    raise _refused(f"{restriction} is no restriction of occurrences")


def _refused(why: str) -> RpcError:
    return invalid(f"Invalid filter: {why}")

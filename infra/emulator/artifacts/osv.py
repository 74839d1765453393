"""OSV, which knows the same advisories as the scanner: what lock files name is asked of it, as pip-audit does.

https://google.github.io/osv.dev/api/
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from infra.emulator.artifacts.packages import Package
from infra.emulator.artifacts.scanner import Advisory, Scanner, issue_of
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid, not_found
from infra.emulator.kernel.handlers import Call, route

HOST = "api.osv.dev"
MOST = 1000  # queries in one batch
MODIFIED = "2026-01-01T00:00:00Z"
# Rated as GitHub's advisories rate, where Google's scanner has other words.
RATED = {"MEDIUM": "MODERATE", "MINIMAL": "LOW"}
Json = dict[str, Any]


class Osv:
    def __init__(self, cloud: Cloud) -> None:
        self._scanner = cloud.get(Scanner)

    @route("POST", "/v1/query", method="osv.query", host=HOST, anonymous=True)
    async def query(self, request: web.Request, _: Call) -> web.Response:
        found = [_told(each) for each in self._found(await _json(request))]
        return web.json_response({"vulns": found} if found else {})

    @route("POST", "/v1/querybatch", method="osv.querybatch", host=HOST, anonymous=True)
    async def batch(self, request: web.Request, _: Call) -> web.Response:
        queries = (await _json(request)).get("queries")
        if not isinstance(queries, list) or len(queries) > MOST:
            raise invalid("Too many queries." if isinstance(queries, list) else "Invalid query.")
        results = [[{"id": each.id, "modified": MODIFIED} for each in self._found(query)] for query in queries]
        return web.json_response({"results": [{"vulns": found} if found else {} for found in results]})

    @route("GET", "/v1/vulns/{vulnerability}", method="osv.vulns.get", host=HOST, anonymous=True)
    async def get(self, _: web.Request, __: Call, vulnerability: str) -> web.Response:
        found = next((each for each in self._scanner.advisories if each.id == vulnerability), None)
        if found is None:
            raise not_found("Bug not found.")
        return web.json_response(_told(found))

    def _found(self, query: Json) -> list[Advisory]:
        package = query.get("package") if isinstance(query, dict) else None
        if not isinstance(package, dict) or not package.get("name") or not package.get("ecosystem"):
            raise invalid("Invalid query.")
        asked = Package(str(package["ecosystem"]), str(package["name"]), str(query.get("version", "")))
        return [each for each in self._scanner.advisories if issue_of(each, asked)]


def _told(advisory: Advisory) -> Json:
    """In OSV's form: https://ossf.github.io/osv-schema/"""
    said = advisory.model_dump(exclude_defaults=True)
    severity = advisory.database_specific.severity
    said["database_specific"] = {"severity": RATED.get(severity, severity)}
    for affected in said["affected"]:
        affected["ranges"] = [{"type": "ECOSYSTEM", **each} for each in affected.get("ranges", ())]
    return {"schema_version": "1.6.0", "modified": MODIFIED, **said}


async def _json(request: web.Request) -> Json:
    try:
        return dict(await request.json())
    except (ValueError, TypeError) as error:
        raise invalid("Invalid query.") from error

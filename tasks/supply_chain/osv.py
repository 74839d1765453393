"""Asks OSV about packages, as pip-audit does: which advisories concern them. https://google.github.io/osv.dev/api/"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from infra.gcp.artifacts.findings import Issue, Vulnerability
from tasks.supply_chain.locks import Locked, pypi_name

BATCH = 1000  # https://google.github.io/osv.dev/post-v1-querybatch/
AT_ONCE = 8
TIMEOUT_S = 30.0
PAGES = 50  # of one query; more is an answer that does not end
# GitHub's words, which OSV passes on, in Google's.
RATED = {"MODERATE": "MEDIUM"}
KNOWN = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")


class OsvError(Exception):
    """OSV did not answer, or not as it must."""


async def vulnerabilities(url: str, packages: Collection[Locked], names: Collection[str]) -> tuple[Vulnerability, ...]:
    """What concerns these packages; each by the name that is among `names`, else by its CVE. Raises OsvError."""
    try:
        async with httpx.AsyncClient(base_url=url.rstrip("/"), timeout=TIMEOUT_S) as client:
            found = await _ids(client, sorted(packages))
            gate = asyncio.Semaphore(AT_ONCE)
            known = await asyncio.gather(*(_advisory(client, each, gate) for each in sorted(found)))
        return tuple(_of(found[each["id"]], each, names) for each in known if not each.get("withdrawn"))
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OsvError(f"{url} did not answer as OSV does: {error or type(error).__name__}") from error


async def _ids(client: httpx.AsyncClient, packages: Sequence[Locked]) -> dict[str, list[Locked]]:
    """By id of the advisory, what it concerns."""
    found: dict[str, list[Locked]] = {}
    for start in range(0, len(packages), BATCH):
        asked: list[tuple[Locked, str]] = [(each, "") for each in packages[start : start + BATCH]]
        for _ in range(PAGES):
            if not asked:
                break
            asked = await _page(client, asked, found)
        else:
            raise ValueError("its pages do not end")
    return found


async def _page(
    client: httpx.AsyncClient, asked: Sequence[tuple[Locked, str]], found: dict[str, list[Locked]]
) -> list[tuple[Locked, str]]:
    """What has to be asked for once more, with the token of its next page."""
    queries = [_query(*each) for each in asked]
    answer = await client.post("/v1/querybatch", json={"queries": queries})
    results = answer.raise_for_status().json()["results"]
    if len(results) != len(queries):
        raise ValueError(f"{len(results)} results for {len(queries)} queries")
    left = []
    for (package, _), result in zip(asked, results, strict=True):
        for each in result.get("vulns") or ():
            found.setdefault(each["id"], []).append(package)
        if token := result.get("next_page_token"):
            left.append((package, token))
    return left


def _query(package: Locked, token: str) -> dict[str, Any]:
    asked = {"package": {"name": package.name, "ecosystem": package.ecosystem}, "version": package.version}
    return asked | ({"page_token": token} if token else {})


async def _advisory(client: httpx.AsyncClient, name: str, gate: asyncio.Semaphore) -> dict[str, Any]:
    async with gate:
        answer = await client.get(f"/v1/vulns/{quote(name, safe='')}")
    return {**answer.raise_for_status().json(), "id": name}


def _of(packages: Iterable[Locked], advisory: Mapping[str, Any], names: Collection[str]) -> Vulnerability:
    called = (advisory["id"], *(advisory.get("aliases") or ()))
    name = next((each for each in called if each in names), None)
    cve = next((each for each in called if each.startswith("CVE-")), called[0])
    return Vulnerability(name or cve, tuple(_issue(each, advisory) for each in packages))


def _issue(package: Locked, advisory: Mapping[str, Any]) -> Issue:
    affected = [each for each in advisory.get("affected") or () if _is_about(each, package)]
    said = [each.get("ecosystem_specific") or each.get("database_specific") or {} for each in affected]
    severity = next((one for one in map(_rated, (advisory.get("database_specific") or {}, *said)) if one), "")
    ranges = (each for one in affected for each in one.get("ranges") or () if each.get("type") != "GIT")
    fixed = next((event["fixed"] for each in ranges for event in each.get("events") or () if event.get("fixed")), "")
    return Issue(package.name, package.version, fixed, severity, package.ecosystem)


def _is_about(affected: Mapping[str, Any], package: Locked) -> bool:
    name = str((affected.get("package") or {}).get("name", ""))
    return (pypi_name(name) if package.ecosystem == "PyPI" else name) == package.name


def _rated(said: Mapping[str, Any]) -> str:
    severity = str(said.get("severity", "")).upper()
    severity = RATED.get(severity, severity)
    return severity if severity in KNOWN else ""

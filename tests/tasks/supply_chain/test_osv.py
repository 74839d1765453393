"""OSV is asked as pip-audit asks it; the local cloud answers, and a server that does as it likes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tasks.manifest.scan import Scan
from tasks.supply_chain.audit import look_at_locks, read_locks
from tasks.supply_chain.locks import Locked
from tasks.supply_chain.osv import OsvError, vulnerabilities
from tasks.supply_chain.verdict import Found
from tests.conftest import LocalCloud
from tests.serving import serving
from tests.tasks.builders import a_request
from tests.tasks.supply_chain.test_gate import ADVISORY

OSV = "https://api.osv.dev"
MANIFEST = """
app: shop
services: {web: {source: web}}
environments: {production: {project: acme-prod, regions: [europe-west1], scan: {audit: {}}}}
"""
JINJA = Locked("PyPI", "jinja2", "3.1.2")
SAID = {
    "aliases": ["CVE-2026-77", "PYSEC-2026-7"],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Jinja2"},
            "ranges": [
                {"type": "GIT", "events": [{"fixed": "abc"}]},
                {"type": "ECOSYSTEM", "events": [{"fixed": "4"}]},
            ],
        }
    ],
    "database_specific": {"severity": "MODERATE"},
}


@pytest.fixture
def known(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[LocalCloud]:
    cloud.put("/advisories", {"advisories": [ADVISORY]})
    yield cloud
    cloud.put("/advisories", {})


async def looked(folder: Path, rules: dict[str, Any]) -> dict[str, Any]:
    scan = Scan.model_validate({"audit": {}, **rules})
    found = await look_at_locks.fn(a_request(text=MANIFEST, folder=folder), scan)  # type: ignore[attr-defined]
    return {path: each.judged for path, each in found.items()}


async def test_what_a_lock_file_names_is_judged_by_the_environments_rules(known: LocalCloud, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "web" / "requirements.txt").write_text("Jinja2==3.1.2\nflask==3.0.0\n")
    (tmp_path / "web" / "package-lock.json").write_text("{not json")
    (tmp_path / "requirements.txt").write_text("elsewhere==1\n")  # goes into no build
    found = await looked(tmp_path, {})
    assert {path: each.verdict for path, each in found.items()} == {
        "web/requirements.txt": Found.BLOCKED,
        "web/package-lock.json": Found.UNKNOWN,
    }
    assert found["web/requirements.txt"].reason == "CVE-2026-1234 (critical) in jinja2 3.1.2, fixed in 3.1.3"
    known.put("/advisories", {})
    assert (await looked(tmp_path, {}))["web/requirements.txt"].verdict is Found.CLEAN


async def test_who_cannot_be_asked_makes_it_unknown(known: LocalCloud, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "requirements.txt").write_text("jinja2==3.1.2\n")
    known.put("/faults", [{"method": "osv.querybatch", "code": "UNAVAILABLE"}])
    judged = (await looked(tmp_path, {}))["web/requirements.txt"]
    known.put("/faults", [])
    assert (judged.verdict, judged.reason.startswith(f"{OSV} did not answer")) == (Found.UNKNOWN, True)


class Server(BaseHTTPRequestHandler):
    """Tells of one vulnerability on its second page."""

    instead = ""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        second = body["queries"][0].get("page_token") == "more"
        first = {"vulns": [{"id": "GHSA-x"}]} if second else {"next_page_token": "more"}
        self._say(json.loads(self.instead or json.dumps({"results": [first]})))

    def do_GET(self) -> None:
        self._say(SAID)

    def _say(self, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.mark.parametrize(("names", "called"), [((), "CVE-2026-77"), (("PYSEC-2026-7",), "PYSEC-2026-7")])
async def test_all_pages_are_read_and_it_goes_by_the_name_that_an_exception_gives_it(
    names: tuple[str, ...], called: str
) -> None:
    with serving(Server) as url:
        [found] = await vulnerabilities(url, [JINJA], names)
    [issue] = found.issues
    assert (found.id, issue.severity, issue.fixed_in) == (called, "MEDIUM", "4")


class Short(Server):
    instead = '{"results": []}'


class Other(Server):
    instead = '["nothing of the kind"]'


@pytest.mark.parametrize("kind", [Short, Other])
async def test_an_answer_in_another_form_is_no_answer(kind: type[Server]) -> None:
    with serving(kind) as url, pytest.raises(OsvError, match="did not answer as OSV does"):
        await vulnerabilities(url, [JINJA], ())


def test_only_what_goes_into_a_build_is_read(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / ".dockerignore").write_text("old\n")
    (tmp_path / "web" / "old").mkdir()
    (tmp_path / "web" / "old" / "requirements.txt").write_text("a==1\n")
    (tmp_path / "web" / "uv.lock").write_text("version = 1\n")
    assert read_locks(a_request(text=MANIFEST, folder=tmp_path)) == {"web/uv.lock": frozenset()}

"""The gate against the local cloud's scanner: what is found in layers, scan states, and what cannot be asked."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from google.cloud import service_usage_v1
from prefect.logging import disable_run_logger

from infra.gcp.artifacts.findings import Findings
from tasks.manifest.scan import Scan
from tasks.supply_chain.gate import Looked, look, problems, rows
from tasks.supply_chain.verdict import Found, Judged
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_registry import HOST, OciClient, image_name, layer_of, new_repository

API = f"projects/{PROJECT}/services/containerscanning.googleapis.com"
JINJA = {"usr/lib/python3/site-packages/jinja2-3.1.2.dist-info/METADATA": b"Name: Jinja2\nVersion: 3.1.2\n\n"}
ADVISORY = {
    "id": "CVE-2026-1234",
    "summary": "Templates may leave their sandbox.",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "jinja2"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.3"}]}],
        }
    ],
    "database_specific": {"severity": "CRITICAL"},
}


@pytest.fixture
def scanning(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[LocalCloud]:
    """Within, the project's images are scanned as they are pushed."""
    usage = service_usage_v1.ServiceUsageClient()
    usage.enable_service(request={"name": API}).result()
    yield cloud
    usage.disable_service(request={"name": API}).result()
    cloud.put("/faults", [])
    cloud.put("/advisories", {})
    cloud.put("/latency", {"stages": {"artifacts.scan": 0}})


def push(cloud: LocalCloud, files: dict[str, bytes]) -> str:
    """Answers the reference by digest."""
    oci, name = OciClient(cloud), image_name(new_repository())
    with oci.http:
        return f"{HOST}/{name}@{oci.push(name, 'v1', layer=layer_of(files))}"  # type: ignore[arg-type]


async def looked(reference: str, wait_s: float = 0.0) -> Looked:
    with disable_run_logger():
        found: Looked = await look.fn(reference, Scan(), wait_s)  # type: ignore[attr-defined]
    return found


async def test_what_an_image_has_in_its_layers_is_held_against_what_is_known(scanning: LocalCloud) -> None:
    image, other = push(scanning, JINJA), push(scanning, {"app": b"nothing to find"})
    assert (await looked(image)).judged.verdict is Found.CLEAN
    scanning.put("/advisories", {"advisories": [ADVISORY]})
    found = await looked(image)
    assert found.judged.verdict is Found.BLOCKED
    assert found.judged.reason == "CVE-2026-1234 (critical) in jinja2 3.1.2, fixed in 3.1.3"
    assert (await looked(other)).judged.verdict is Found.CLEAN
    [row] = rows({image: found})
    assert (row["id"], row["package"], row["fixed in"], row["counts"]) == (
        "CVE-2026-1234", "jinja2 3.1.2", "3.1.3", "yes"
    )  # fmt: skip


async def test_a_scan_is_waited_for_and_one_that_does_not_end_or_cannot_be_asked_for_is_unknown(
    scanning: LocalCloud,
) -> None:
    scanning.put("/latency", {"stages": {"artifacts.scan": 3600.0}})
    image = push(scanning, JINJA)
    assert (await looked(image)).judged.reason == "its scan is pending"
    waiting = asyncio.create_task(looked(image, wait_s=60.0))
    await asyncio.sleep(0.1)
    scanning.put("/latency", {"stages": {"artifacts.scan": 0.0}})
    assert (await waiting).judged.verdict is Found.CLEAN
    scanning.put("/advisories", {"scanner": "failing"})
    failed = (await looked(image, wait_s=30.0)).judged
    assert (failed.verdict, failed.reason.startswith("its scan ended as FINISHED_FAILED")) == (Found.UNKNOWN, True)
    scanning.put("/advisories", {"scanner": "silent"})
    assert (await looked(image)).judged.reason == "it was not scanned"
    scanning.put("/faults", [{"method": "containeranalysis.occurrences.list", "code": "PERMISSION_DENIED"}])
    refused = (await looked(image, wait_s=30.0)).judged
    assert (refused.verdict, refused.reason.startswith("its scan cannot be asked for")) == (Found.UNKNOWN, True)


async def test_what_was_pushed_before_scans_were_on_is_unknown(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    assert (await looked(push(cloud, JINJA))).judged.verdict is Found.UNKNOWN


@pytest.mark.parametrize(
    ("verdict", "unknown", "many"),
    [
        (Found.CLEAN, "refuse", 0),
        (Found.BLOCKED, "warn", 1),
        (Found.UNKNOWN, "refuse", 1),
        (Found.UNKNOWN, "warn", 0),
    ],
)
def test_what_nobody_can_tell_is_refused_unless_the_environment_says_otherwise(
    verdict: Found, unknown: str, many: int
) -> None:
    judged = {"host/p/r/app@sha256:1": Looked(Findings(""), Judged(verdict, "so it is"))}
    assert len(list(problems(judged, Scan.model_validate({"unknown": unknown})))) == many


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_sees_the_same(scanning: LocalCloud) -> None:
    scanning.put("/advisories", {"advisories": [ADVISORY]})
    image = push(scanning, JINJA)
    command = ["gcloud", "artifacts", "docker", "images", "describe", image, "--show-package-vulnerability"]
    done = subprocess.run(
        [*command, "--format=json"], env=scanning.env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    [found] = said["package_vulnerability_summary"]["vulnerabilities"]["CRITICAL"]
    assert found["vulnerability"]["packageIssue"][0]["affectedPackage"] == "jinja2"
    [discovery] = said["discovery_summary"]["discovery"]
    assert discovery["discovery"]["analysisStatus"] == "FINISHED_SUCCESS"

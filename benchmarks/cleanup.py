"""Clean-up of 100 000 image versions in 50 repositories: `python -m benchmarks.cleanup` writes results/cleanup.md.

The local cloud answers as fast as Google's is reported to (latency profile `real`); its store is filled beforehand.
The clean-up runs in a process of its own, of which the time and the largest memory are measured.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from google.cloud import artifactregistry_v1 as ar

from benchmarks.overhead import PROJECT, repository
from benchmarks.server import prefect_server
from infra.emulator.artifacts.blobs import Blobs
from infra.emulator.kernel.store import Store

RESULT = Path(__file__).parent / "results" / "cleanup.md"
REPOSITORIES, VERSIONS = 50, 2000
DAYS = 1000  # the versions' ages are spread evenly over so many days
INDEX_EVERY = 10  # each so-many-th version is an index of the two untagged ones before it
REGION = "europe-west1"
LABELS = {"managed-by": "slipway", "slipway-app": "bench"}
OCI = "application/vnd.oci.image.{}.v1+json"
ALL_OLD = "{keep: 10, max_age: 30d, max_items: 1000000, max_percent: 100}"
CAPPED = "{keep: 10, max_age: 30d}"
FEW_OLD = f"{{keep: 10, max_age: {DAYS * 24 - 8}h, max_items: 100}}"


def manifest(retention: str) -> str:
    lines = ["app: bench", "services:", "  web: {public: true, health: {samples: 1}}", f"retention: {retention}"]
    lines += ["environments:"]
    place = f"project: {PROJECT}, regions: [{REGION}]"
    lines += [f"  e{n:02}: {{{place}, repository: bench-{n:02}}}" for n in range(REPOSITORIES)]
    return "\n".join(lines) + "\n"


def fill(data: Path) -> int:
    """Writes the repositories into the store of a local cloud that is not running; answers how many versions."""
    store, blobs = Store(data / "state.db"), Blobs(data / "blobs")
    with store.transaction():
        total = sum(_fill_one(store, blobs, number) for number in range(REPOSITORIES))
    store.close()
    return total


def _fill_one(store: Store, blobs: Blobs, number: int) -> int:
    name = f"projects/{PROJECT}/locations/{REGION}/repositories/bench-{number:02}"
    immutable = ar.Repository.DockerRepositoryConfig(immutable_tags=True)
    docker = ar.Repository.Format.DOCKER
    made = ar.Repository(name=name, format_=docker, docker_config=immutable, labels=LABELS)
    package = f"{name}/packages/web"
    store.messages("artifacts.repositories", ar.Repository.pb()).put(name, ar.Repository.pb(made))
    store.messages("artifacts.packages", ar.Package.pb()).put(package, ar.Package.pb()(name=package))
    images = store.messages("artifacts.manifests", ar.DockerImage.pb())
    tags, parents = store.messages("artifacts.tags", ar.Tag.pb()), store.values("artifacts.parents")
    for image, document in _versions(name, number):
        images.put(image.name, image)
        digest = image.name.rpartition("@")[2]
        if image.upload_time.seconds < time.time() - (DAYS - 5) * 86400:
            blobs.add(document)  # deleting a version reads its manifest
        for tag in image.tags:
            full = f"{package}/tags/{tag}"
            tags.put(full, ar.Tag.pb()(name=full, version=f"{package}/versions/{digest}"))
        for child in image.image_manifests:
            parents.put(f"{package}/versions/{child.digest}/{digest}", {})
    return VERSIONS


def _versions(repository_name: str, number: int) -> list[tuple[Any, bytes]]:
    """Oldest first."""
    found: list[tuple[Any, bytes]] = []
    now = datetime.now(UTC)
    for version in range(VERSIONS):
        place = version % INDEX_EVERY
        children = [each.name.rpartition("@")[2] for each, _ in found[-2:]] if place == INDEX_EVERY - 1 else []
        document = _document(f"{number}/{version}", children)
        digest = f"sha256:{hashlib.sha256(document).hexdigest()}"
        image = ar.DockerImage.pb()(
            name=f"{repository_name}/dockerImages/web@{digest}",
            media_type=OCI.format("index" if children else "manifest"),
            tags=[] if place in (INDEX_EVERY - 3, INDEX_EVERY - 2) else [f"v0.{version}.0"],
            image_size_bytes=50_000_000,
            image_manifests=[{"digest": child, "media_type": OCI.format("manifest")} for child in children],
        )
        image.upload_time.FromDatetime(now - timedelta(days=DAYS * (1 - version / VERSIONS)))
        found.append((image, document))
    return found


def _document(annotation: str, children: list[str]) -> bytes:
    about = {"annotations": {"n": annotation}, "schemaVersion": 2}
    if children:
        manifests = [{"mediaType": OCI.format("manifest"), "digest": child, "size": 1} for child in children]
        return json.dumps({**about, "mediaType": OCI.format("index"), "manifests": manifests}).encode()
    config = {"mediaType": OCI.format("config"), "digest": f"sha256:{'0' * 64}", "size": 1}
    return json.dumps({**about, "mediaType": OCI.format("manifest"), "config": config, "layers": []}).encode()


async def measured(folder: Path, *, dry_run: bool) -> None:
    """Runs the flow and prints its figures; in a process of its own."""
    from flows.cleanup import cleanup
    from tasks.failures.errors import SlipwayError
    from tasks.source.source import Source

    base_mb = _peak_mb()
    began = time.monotonic()
    try:
        outcome = await cleanup(Source(repository=str(folder)), dry_run=dry_run)
    except SlipwayError as error:
        outcome = error.problem.splitlines()[1]
    seconds = time.monotonic() - began
    print(json.dumps({"s": round(seconds, 1), "mb": _peak_mb(), "base_mb": base_mb, "outcome": outcome}))


def _peak_mb() -> int:
    """Of this process since it began its program; getrusage would count its parent's as well."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) // 1024


def run(folder: Path, environment: dict[str, str], retention: str, *options: str) -> dict[str, Any]:
    (folder / "slipway.yaml").write_text(manifest(retention))
    command = [sys.executable, "-m", "benchmarks.cleanup", "measure", str(folder), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


async def released(folder: Path) -> None:
    """Something has to serve, or no clean-up believes what it sees."""
    from flows.deploy import deploy
    from tasks.source.source import Source

    (folder / "slipway.yaml").write_text(manifest(CAPPED))
    await deploy(Source(repository=str(folder)), "e00")


async def measure(folder: Path, admin: str, server: Path) -> list[tuple[str, dict[str, Any]]]:
    """What each clean-up took; of the calls the cloud remembers those of the last one."""
    async with prefect_server(server) as url:
        environment = {**os.environ, "PREFECT_API_URL": url}
        await released(folder)
        rows = [
            ("plan, everything old may go", await asyncio.to_thread(run, folder, environment, ALL_OLD)),
            ("plan, stopped by the default caps", await asyncio.to_thread(run, folder, environment, CAPPED)),
        ]
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.delete(f"{admin}/calls")
        deleting = await asyncio.to_thread(run, folder, environment, FEW_OLD, "delete")
    return [*rows, ("plan and delete the oldest", deleting)]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        data, folder = Path(scratch) / "cloud", repository(Path(scratch) / "app")
        data.mkdir()
        total = fill(data)
        command = [sys.executable, "-m", "infra.emulator", "run", "--data", str(data), "--profile", "real"]
        cloud = subprocess.Popen([*command, "--project", PROJECT], stdout=subprocess.PIPE, text=True)
        try:
            assert cloud.stdout is not None
            cloud.stdout.readline()
            word = json.loads((data / "emulator.json").read_text())
            os.environ.update(word["environment"])
            rows = asyncio.run(measure(folder, word["admin"], Path(scratch) / "prefect"))
            calls = httpx.get(f"{word['admin']}/calls", trust_env=False).json()
        finally:
            cloud.terminate()
            cloud.wait()
    RESULT.write_text(report(total, rows, calls))
    print(RESULT.read_text())


def report(total: int, rows: list[tuple[str, dict[str, Any]]], calls: dict[str, Any]) -> str:
    starts = [each["start"] for each in calls["journal"] if each["method"].endswith("/DeleteVersion")]
    spread_s = max(starts) - min(starts)
    lines = [f"# Clean-up of {total} image versions in {REPOSITORIES} repositories", ""]
    lines += [f"{os.cpu_count()} cores shared with the local cloud, which takes 0.12 s for every call, and with the "]
    lines[-1] += "Prefect server. Limits: a plan in 60 s and 400 MB."
    lines += ["", "| run | seconds | peak MB | of that before it began | outcome |", "|---|---:|---:|---:|---|"]
    lines += [f"| {what} | {r['s']} | {r['mb']} | {r['base_mb']} | {r['outcome']} |" for what, r in rows]
    lines += ["", f"{len(starts)} versions deleted in {spread_s:.0f} s: {(len(starts) - 1) / spread_s:.2f} per second."]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        asyncio.run(measured(Path(sys.argv[2]), dry_run="delete" not in sys.argv))
    else:
        main()

"""The real gcloud sees what the deploy flow did, and works beside it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.deploy import deploy
from tasks.failures.roles import REQUIRED_APIS
from tasks.model import Image, Release, Serving
from tasks.source.source import Source
from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud, environment
from tests.e2e.conftest import REGION, App, program

pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")

AT_ONCE = 3  # each gcloud is about a second of Python
DOCKERFILE = 'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "main.py"]\n'
Answer = Any  # the JSON of a command


class Gcloud:
    """`await gcloud("run services list")`: the command's JSON."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, command: str, *more: str) -> Answer:
        return json.loads(await self.text(command, "--format=json", *more) or "null")

    async def text(self, command: str, *more: str) -> str:
        arguments = [*command.split(), *more, "--quiet"]
        async with self._turn:
            process = await asyncio.create_subprocess_exec(
                "gcloud", *arguments, env=self._env,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            async with asyncio.timeout(120):
                out, err = await process.communicate()
        assert process.returncode == 0, f"gcloud {' '.join(arguments)}\n{err.decode()}"
        return out.decode()


@dataclass(frozen=True)
class Shipped:
    """What the flow says that it has released: `web` to look at, `lab` to change."""

    app: App
    release: Release

    def live(self, service: str) -> Serving:
        return next(live for live in self.release.live if live.place.service == service)

    def image(self, service: str) -> Image:
        return next(image for image in self.release.images if image.service == service)

    def name(self, service: str) -> str:
        return f"{self.app.name}-{service}"

    @property
    def repository(self) -> str:
        return f"{REGION}-docker.pkg.dev/{PROJECT}/{self.app.name}"


@pytest.fixture(scope="module")
def gcloud(cloud: LocalCloud) -> Gcloud:
    return Gcloud(cloud.env)


@pytest.fixture(scope="module")
async def shipped(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    folder = tmp_path_factory.mktemp("gcloud")
    app = App(folder, f"g{zlib.crc32(str(folder).encode()):08x}")
    app.write("web", program())
    app.write("lab", program(body="one"))
    health = "health: {tries: 2, backoff_min: 0.1s, samples: 3}, public: true"
    app.manifest(f"  web: {{{health}}}\n  lab: {{{health}}}")
    app.commit("v1.0.0")
    with environment(cloud.env):
        return Shipped(app, await deploy(Source(repository=str(folder)), "production"))


def split(service: Answer) -> dict[str, int]:
    """Percent by revision of what really routes; LATEST counts for the revision it means."""
    parts = [(target["revisionName"], target.get("percent", 0)) for target in service["status"]["traffic"]]
    return {name: sum(p for n, p in parts if n == name) for name, percent in parts if percent}


async def page(url: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url)).text


async def test_run_lists_and_describes_the_released_services(gcloud: Gcloud, shipped: Shipped) -> None:
    name, live = shipped.name("web"), shipped.live("web")
    listed, found = await asyncio.gather(
        gcloud("run services list"), gcloud(f"run services describe {name} --region={REGION}")
    )
    assert {shipped.name("web"), shipped.name("lab")} <= {item["metadata"]["name"] for item in listed}
    assert found["status"]["url"] == live.url
    assert found["status"]["latestReadyRevisionName"] == live.revision
    assert {c["type"]: c["status"] for c in found["status"]["conditions"]}["Ready"] == "True"
    assert split(found) == {live.revision: 100}
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert container["image"] == shipped.image("web").reference
    labels = found["metadata"]["labels"]
    assert labels["managed-by"] == "slipway"
    assert labels["slipway-commit"] == shipped.release.version.commit


async def test_run_lists_the_revision_that_serves_and_who_may_call_it(gcloud: Gcloud, shipped: Shipped) -> None:
    name, live = shipped.name("web"), shipped.live("web")
    revisions, revision, policy = await asyncio.gather(
        gcloud(f"run revisions list --service={name} --region={REGION}"),
        gcloud(f"run revisions describe {live.revision} --region={REGION}"),
        gcloud(f"run services get-iam-policy {name} --region={REGION}"),
    )
    assert live.revision in {item["metadata"]["name"] for item in revisions}
    assert revision["metadata"]["labels"]["serving.knative.dev/service"] == name
    assert revision["status"]["imageDigest"] == shipped.image("web").reference
    assert policy["bindings"] == [{"members": ["allUsers"], "role": "roles/run.invoker"}]


async def test_builds_tell_what_was_built_and_how(gcloud: Gcloud, shipped: Shipped) -> None:
    image = shipped.image("web")
    listed, build, log = await asyncio.gather(
        gcloud(f"builds list --region={REGION} --limit=1000"),
        gcloud(f"builds describe {image.build_id} --region={REGION}"),
        gcloud.text(f"builds log {image.build_id} --region={REGION}"),
    )
    assert {built.build_id for built in shipped.release.images} <= {item["id"] for item in listed}
    assert build["status"] == "SUCCESS"
    assert {result["digest"] for result in build["results"]["images"]} == {image.digest}
    assert f"{image.uri}:{image.tag}" in build["images"]
    assert f"{image.tag}: digest: {image.digest}" in log


async def test_artifacts_show_the_images_under_tags_that_cannot_move(gcloud: Gcloud, shipped: Shipped) -> None:
    image, place = shipped.image("web"), f"--location={REGION}"
    repositories, repository, images, tags, described = await asyncio.gather(
        gcloud("artifacts repositories list"),
        gcloud(f"artifacts repositories describe {shipped.app.name} {place}"),
        gcloud(f"artifacts docker images list {shipped.repository} --include-tags"),
        gcloud(f"artifacts docker tags list {image.uri}"),
        gcloud(f"artifacts docker images describe {image.uri}:{image.tag}"),
    )
    assert repository["name"] in {item["name"] for item in repositories}
    assert repository["dockerConfig"] == {"immutableTags": True}
    assert {(item["package"], item["version"]) for item in images} == {
        (built.uri, built.digest) for built in shipped.release.images
    }
    assert all("v1.0.0" in item["tags"] and "latest" not in item["tags"] for item in images)
    assert f"{image.digest}" in {tag["version"].rsplit("/", 1)[-1] for tag in tags if tag["tag"].endswith("v1.0.0")}
    assert described["image_summary"]["fully_qualified_digest"] == image.reference


async def test_storage_holds_sources_logs_and_the_release_record(
    gcloud: Gcloud, shipped: Shipped, tmp_path: Path
) -> None:
    bucket = f"gs://{PROJECT}-slipway"
    names = (await gcloud.text(f"storage ls {bucket}/**")).splitlines()
    assert f"{bucket}/logs/log-{shipped.image('web').build_id}.txt" in names
    assert any(name.startswith(f"{bucket}/sources/{shipped.app.name}/web/") for name in names)
    (record,) = (name for name in names if name.startswith(f"{bucket}/releases/{shipped.app.name}/production/"))
    (tmp_path / "note").write_text("hello")
    place = f"{bucket}/notes/{shipped.app.name}"
    told, _ = await asyncio.gather(
        gcloud.text(f"storage cat {record}"), gcloud.text(f"storage cp {tmp_path}/note {place}")
    )
    assert shipped.image("web").digest in told
    assert json.loads(told)["version"] == "v1.0.0"
    await gcloud.text(f"storage cp {place} {tmp_path}/back")
    assert (tmp_path / "back").read_text() == "hello"
    await gcloud.text(f"storage rm {place}")


async def test_logging_has_what_the_container_wrote(gcloud: Gcloud, shipped: Shipped) -> None:
    name, line = shipped.name("web"), f"starting {shipped.live('web').revision}"
    where = f'resource.type="cloud_run_revision" AND resource.labels.service_name="{name}"'
    entries, text = await asyncio.gather(
        gcloud("logging read --freshness=1h", where),
        gcloud.text(f"run services logs read {name} --region={REGION} --limit=1000"),
    )
    assert line in {entry.get("textPayload") for entry in entries}
    assert line in text


@pytest.mark.faults
async def test_the_project_is_described_with_its_apis_accounts_and_policy(gcloud: Gcloud, shipped: Shipped) -> None:
    project, projects, apis, policy, accounts, regions, config = await asyncio.gather(
        gcloud(f"projects describe {PROJECT}"),
        gcloud("projects list"),
        gcloud("services list --enabled"),
        gcloud(f"projects get-iam-policy {PROJECT}"),
        gcloud("iam service-accounts list"),
        gcloud("run regions list"),
        gcloud("config list"),
    )
    assert (project["projectId"], project["lifecycleState"]) == (PROJECT, "ACTIVE")
    assert {PROJECT, OTHER_PROJECT} <= {item["projectId"] for item in projects}
    assert set(REQUIRED_APIS) <= {item["config"]["name"] for item in apis if item["state"] == "ENABLED"}
    assert "roles/owner" in {binding["role"] for binding in policy["bindings"]}
    emails = {account["email"] for account in accounts}
    assert f"{project['projectNumber']}-compute@developer.gserviceaccount.com" in emails
    assert REGION in {item["locationId"] for item in regions}
    assert config["core"]["project"] == PROJECT


async def test_traffic_is_moved_by_hand_to_tags_revisions_and_the_latest(gcloud: Gcloud, shipped: Shipped) -> None:
    name, live = shipped.name("lab"), shipped.live("lab")
    where = f"{name} --region={REGION}"
    dark = await gcloud(f"run deploy {where} --image={shipped.image('web').reference} --no-traffic --tag=mine")
    assert split(dark) == {live.revision: 100}
    (mine,) = (target for target in dark["status"]["traffic"] if target.get("tag") == "mine")
    assert await page(mine["url"]) == "ok"
    new = mine["revisionName"]

    async def after(change: str) -> dict[str, int]:
        await gcloud(f"run services update-traffic {where} {change}")
        return split(await gcloud(f"run services describe {where}"))

    assert await after("--to-tags=mine=25") == {new: 25, live.revision: 75}
    assert await after(f"--to-revisions={live.revision}=40,{new}=60") == {new: 60, live.revision: 40}
    assert await after("--to-latest") == {new: 100}
    assert await page(live.url) == "ok"


async def test_a_build_and_a_service_of_ones_own_come_and_go(gcloud: Gcloud, shipped: Shipped, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(program(body="by hand"))
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    own, place = f"{shipped.app.name}-own", f"--location={REGION}"
    await gcloud(f"artifacts repositories create {own} --repository-format=docker {place}")
    image = f"{REGION}-docker.pkg.dev/{PROJECT}/{own}/hand:v1"
    said = await gcloud.text(f"builds submit {tmp_path} --tag={image} --region={REGION}")
    assert re.search(r"step 4/4 ?: CMD", said, re.IGNORECASE)  # the log, while it is written
    digest = re.findall(r"^v1: digest: (\S+)", said, re.MULTILINE)
    listed, service = await asyncio.gather(
        gcloud(f"artifacts docker images list {image.rpartition(':')[0]}"),
        gcloud(f"run deploy {own} --image={image} --region={REGION} --allow-unauthenticated"),
    )
    assert [item["version"] for item in listed] == digest
    assert await page(service["status"]["url"]) == "by hand"
    await gcloud(f"run services delete {own} --region={REGION}")
    await gcloud(f"artifacts docker images delete {image} --delete-tags")
    services, images = await asyncio.gather(
        gcloud(f"run services list --region={REGION}"),
        gcloud(f"artifacts docker images list {image.rpartition(':')[0]}"),
    )
    assert own not in {item["metadata"]["name"] for item in services}
    assert images == []


async def test_a_running_build_is_listed_and_cancelled(gcloud: Gcloud, tmp_path: Path) -> None:
    steps = [{"name": "ubuntu", "script": "sleep 600"}]
    (tmp_path / "build.json").write_text(json.dumps({"steps": steps, "tags": [tmp_path.name.replace("_", "-")]}))
    build = await gcloud(f"builds submit --no-source --async --config={tmp_path}/build.json --region={REGION}")
    ongoing = await gcloud(f"builds list --ongoing --region={REGION}")
    assert build["id"] in {item["id"] for item in ongoing}
    cancelled = await gcloud(f"builds cancel {build['id']} --region={REGION}")
    assert [item["status"] for item in cancelled] == ["CANCELLED"]


@pytest.mark.faults
async def test_secrets_are_made_extended_and_read(gcloud: Gcloud, shipped: Shipped, tmp_path: Path) -> None:
    secret = f"{shipped.app.name}-key"
    (tmp_path / "one").write_text("first")
    (tmp_path / "two").write_text("second")
    await gcloud(f"secrets create {secret} --data-file={tmp_path}/one")
    await gcloud(f"secrets versions add {secret} --data-file={tmp_path}/two")
    secrets, newest, first = await asyncio.gather(
        gcloud("secrets list"),
        gcloud.text(f"secrets versions access latest --secret={secret}"),
        gcloud.text(f"secrets versions access 1 --secret={secret}"),
    )
    assert secret in {item["name"].rsplit("/", 1)[-1] for item in secrets}
    assert (newest, first) == ("second", "first")

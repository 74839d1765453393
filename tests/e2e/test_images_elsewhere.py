"""A service with a name of its own, whose image is built elsewhere: shipped, promoted, taken back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import httpx
import pytest

from infra.gcp.run import services
from infra.gcp.run.services import RunService
from tasks.failures.errors import PreflightFailed, RollbackRefused
from tests.conftest import PROJECT, STAGING_PROJECT, LocalCloud
from tests.e2e.conftest import REGION, App, program
from tests.e2e.releases import describe, go_back, history, ship
from tests.e2e.test_promote import promoted
from tests.infra.emulator.emulated_registry import OCI_MANIFEST, OciClient, layer_of

pytestmark = pytest.mark.usefixtures("cloud_env")

HEALTH = "{body: ok, tries: 2, backoff_min: 0.1s, timeout: 5s, samples: 3}"


class Elsewhere:
    """A repository that another pipeline pushes to, of the project where an app is staged."""

    def __init__(self, cloud: LocalCloud, name: str) -> None:
        self.host, self.path = f"{REGION}-docker.pkg.dev", f"{STAGING_PROJECT}/{name}/orders"
        self._registry = OciClient(cloud, f"https://{self.host}")
        headers = dict(self._registry.http.headers)
        parent = (
            f"https://artifactregistry.googleapis.com/v1/projects/{STAGING_PROJECT}/locations/{REGION}/repositories"
        )
        made = httpx.post(parent, params={"repositoryId": name}, json={"format": "DOCKER"}, headers=headers, timeout=30)
        assert made.status_code == 200, made.text

    def push(self, tag: str, source: str) -> str:
        """An image whose program runs as a process here; answers its digest."""
        layer = self._registry.blob(self.path, layer_of({"app/main.py": source.encode()}))
        config = {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": []},
            "config": {
                "Cmd": ["python3", "main.py"],
                "WorkingDir": "/app",
                "Labels": {"dev.slipway.run-as-process": "true"},
            },
        }
        described = self._registry.blob(self.path, json.dumps(config).encode())
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **described},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **layer}],
        }
        manifest = json.dumps(document).encode()
        assert self._registry.put(self.path, tag, manifest).status_code == 201
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def close(self) -> None:
        self._registry.http.close()

    def image(self, selector: str) -> str:
        return f"{self.host}/{self.path}{selector}"


@pytest.fixture
def elsewhere(cloud: LocalCloud, cloud_env: dict[str, str], app: App) -> Iterator[Elsewhere]:
    repository = Elsewhere(cloud, f"{app.name}-images")
    yield repository
    repository.close()


def write(app: App, image: str, name: str) -> None:
    """In staging the service is called by a name of its own, in production by another one."""
    web = f"  web: {{image: '{image}', name: {name}, health: {HEALTH}, public: true}}"
    staging = f"{{project: {STAGING_PROJECT}, regions: [{REGION}], services: {{web: {{name: {name}-staging}}}}}}"
    describe(app, web, staging=staging, production=f"{{project: {PROJECT}, regions: [{REGION}]}}")


def builds(cloud: LocalCloud) -> int:
    """How many have been started."""
    return cloud.calls().get("google.devtools.cloudbuild.v1.CloudBuild/CreateBuild", 0)


async def service(name: str, project: str = PROJECT) -> RunService | None:
    return await services.get_service(f"projects/{project}/locations/{REGION}/services/{name}")


def image_of(found: RunService | None) -> str:
    assert found is not None
    return str(found.body["template"]["containers"][0]["image"])


async def test_an_image_of_another_pipeline_is_shipped_promoted_and_taken_back(
    cloud: LocalCloud, app: App, elsewhere: Elsewhere
) -> None:
    name, before = f"orders-{app.name}", builds(cloud)
    first = elsewhere.push("stable", program(body="ok 1"))
    write(app, elsewhere.image(":stable"), name)
    app.commit("v1.0.0")
    await ship(app, "staging")
    second = elsewhere.push("stable", program(body="ok 2"))
    assert image_of(await service(f"{name}-staging", STAGING_PROJECT)) == elsewhere.image(f"@{first}")

    await promoted(app)
    assert image_of(await service(name)) == elsewhere.image(f"@{first}")  # what was proven, though the tag has moved on

    app.commit("v1.1.0")
    await ship(app, "staging")
    release = await promoted(app)
    assert image_of(await service(name)) == elsewhere.image(f"@{second}")
    assert httpx.get(release.live[0].url, trust_env=False).text == "ok 2"

    back = await go_back(app)
    assert httpx.get(back.live[0].url, trust_env=False).text == "ok 1"
    assert await service(f"{app.name}-web") is None
    assert builds(cloud) == before
    assert [target.name for record in await history(app) for target in record.targets] == [name] * 3


async def test_a_new_name_makes_a_new_service_and_leaves_the_old_one_alone(app: App, elsewhere: Elsewhere) -> None:
    elsewhere.push("v1", program())
    write(app, elsewhere.image(":v1"), f"orders-{app.name}")
    app.commit("v1.0.0")
    await ship(app)
    old = await service(f"orders-{app.name}")
    write(app, elsewhere.image(":v1"), f"sales-{app.name}")
    app.commit("v1.1.0")
    await ship(app)
    new, still = await service(f"sales-{app.name}"), await service(f"orders-{app.name}")
    assert old and new and still
    assert (still.routed, still.generation) == (old.routed, old.generation)
    assert new.routed == {new.latest_created: 100}
    with pytest.raises(RollbackRefused, match=f"web in {REGION} was orders-{app.name}"):
        await go_back(app)


async def test_services_that_are_built_alike_share_one_build(cloud: LocalCloud, app: App) -> None:
    app.write("web", program())
    app.manifest(f"  web: {{health: {HEALTH}}}\n  worker: {{source: web, health: {HEALTH}, env: {{ROLE: worker}}}}")
    app.commit("v1.0.0")
    before = builds(cloud)
    release = await ship(app)
    assert builds(cloud) == before + 1
    images = {image.service: image for image in release.images}
    assert images["web"].digest == images["worker"].digest
    assert images["worker"].uri.endswith("/worker")
    assert {live.place.service for live in release.live} == {"web", "worker"}


async def test_an_image_that_is_not_there_stops_the_run_before_anything_is_made(app: App, elsewhere: Elsewhere) -> None:
    write(app, elsewhere.image(":v9"), f"orders-{app.name}")
    app.commit("v1.0.0")
    with pytest.raises(PreflightFailed, match=r"There is no image .*:v9, which service web is to run"):
        await ship(app)
    assert await service(f"orders-{app.name}") is None

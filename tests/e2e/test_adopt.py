"""gcloud makes a service, `slipway adopt` describes it, and the release of that changes nothing but the image."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from flows.deploy import deploy
from infra.gcp.run import access, services
from tasks.describe.adopt.store import adopt_into
from tasks.drift.compare import compare
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.cleaning import artifact
from tests.e2e.conftest import REGION, App, program
from tests.infra.emulator.emulated_run import HELLO

pytestmark = [
    pytest.mark.usefixtures("cloud_env"),
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
]

FLAGS = (
    "--allow-unauthenticated", "--port=9000", "--memory=1Gi", "--cpu=2", "--min-instances=1", "--max-instances=7",
    "--concurrency=12", "--timeout=60", "--execution-environment=gen2", "--session-affinity", "--no-cpu-throttling",
    "--set-env-vars=LEVEL=info,LIST=a b", "--labels=team=web", "--vpc-connector=main", "--vpc-egress=all-traffic",
    f"--add-cloudsql-instances={PROJECT}:{REGION}:main",
    "--liveness-probe=httpGet.path=/live,periodSeconds=30", "--startup-probe=tcpSocket.port=9000,failureThreshold=9",
)  # fmt: skip
# What a release says of itself, and the one thing that it is about.
RELEASE = ("template.labels[*", "template.annotations[*", "template.containers[0].image", "labels[*", "traffic[*")


@pytest.fixture
def theirs(app: App, cloud: LocalCloud) -> App:
    name = f"{app.name}-web"
    command = [
        "gcloud",
        "run",
        "deploy",
        name,
        f"--image={HELLO}",
        f"--region={REGION}",
        f"--project={PROJECT}",
        *FLAGS,
    ]
    done = subprocess.run(
        [*command, "--quiet"], env=cloud.env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return app


async def adopted(app: App) -> str:
    """What is written, with the sources in the place of the image."""
    manifest = app.folder / "slipway.yaml"
    await adopt_into(app.name, PROJECT, (REGION,), (f"{app.name}-web",), "production", (), manifest, lambda _: None)
    return manifest.read_text()


async def test_a_release_of_what_was_adopted_changes_nothing_but_the_image(theirs: App) -> None:
    name = f"projects/{PROJECT}/locations/{REGION}/services/{theirs.name}-web"
    before = await services.get_service(name)
    text = await adopted(theirs)
    assert f"    image: {HELLO}\n" in text
    (theirs.folder / "slipway.yaml").write_text(text.replace(f"    image: {HELLO}\n", "    source: web\n"))
    theirs.write("web", program())
    theirs.commit("v1.0.0")
    await deploy(Source(repository=str(theirs.folder)), "production")
    rows = await artifact(f"{theirs.name}-production-web-{REGION}-taken-over")
    assert {row["setting"] for row in rows if row["what"] == "changed"} == {"containers[0].image"}
    after = await services.get_service(name)
    assert before and after
    assert compare(before.body, after.body, RELEASE) == ()
    assert set(after.routed.values()) == {100}
    assert await access.is_public(name)


async def test_adopted_deleted_and_deployed_it_is_the_same_again(theirs: App) -> None:
    name = f"projects/{PROJECT}/locations/{REGION}/services/{theirs.name}-web"
    before = await services.get_service(name)
    assert before
    await adopted(theirs)
    theirs.commit("v1.0.0")
    await services.delete_service(name, before.etag, 60)
    await deploy(Source(repository=str(theirs.folder)), "production")  # of the image that it had
    after = await services.get_service(name)
    assert after
    assert compare(before.body, after.body, RELEASE) == ()
    assert await access.is_public(name)

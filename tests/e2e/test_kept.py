"""Somebody else's service, shipped over with four lines: nothing of it is lost, whether the release stands or not."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from flows.deploy import deploy
from flows.rollback import rollback
from infra.gcp.run import access, services
from infra.gcp.run.services import RunService
from tasks.drift.compare import compare
from tasks.failures.errors import SlipwayError
from tasks.source.source import Source
from tests.conftest import PROJECT
from tests.e2e.cleaning import artifact
from tests.e2e.conftest import REGION, App, program
from tests.infra.emulator.emulated_run import HELLO, Run

pytestmark = pytest.mark.usefixtures("cloud_env")

THEIRS: dict[str, Any] = {
    "labels": {"team": "web"},
    "annotations": {"note": "set by hand"},
    "scaling": {"minInstanceCount": 1, "maxInstanceCount": 7},
    "timeout": "60s",
    "maxInstanceRequestConcurrency": 12,
    "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
    "sessionAffinity": True,
    "vpcAccess": {"connector": f"projects/{PROJECT}/locations/{REGION}/connectors/main", "egress": "ALL_TRAFFIC"},
    "volumes": [{"name": "cloudsql", "cloudSqlInstance": {"instances": [f"{PROJECT}:{REGION}:main"]}}],
    "containers": [
        {
            "image": HELLO,
            "ports": [{"containerPort": 9000}],
            "resources": {"limits": {"cpu": "2", "memory": "2Gi"}},
            "env": [{"name": "THEIRS", "value": "1"}],
            "livenessProbe": {"httpGet": {"path": "/live"}, "periodSeconds": 30},
            "volumeMounts": [{"name": "cloudsql", "mountPath": "/cloudsql"}],
        },
        {"name": "proxy", "image": HELLO, "env": [{"name": "LEVEL", "value": "warn"}]},
    ],
}
# What a release says of itself, and the one thing that it is about.
RELEASE = ("template.labels[*", "template.annotations[slipway-says]", "template.containers[0].image", "labels[*")


@pytest.fixture
async def theirs(app: App) -> App:
    """Their service, public, and an app that is to be shipped over it."""
    wanted = services._message({"template": THEIRS, "ingress": "INGRESS_TRAFFIC_ALL", "labels": {"team": "web"}})
    Run().create(f"{app.name}-web", wanted.template, labels=dict(wanted.labels))
    app.write("web", program())
    app.manifest("  web: {health: {body: ok, tries: 2, backoff_min: 0.1s, timeout: 1s, samples: 3}}")
    app.commit("v1.0.0")
    return app


async def service(app: App) -> RunService:
    found = await services.get_service(f"projects/{PROJECT}/locations/{REGION}/services/{app.name}-web")
    assert found is not None
    return found


async def ship(app: App) -> None:
    await deploy(Source(repository=str(app.folder)), "production")


def lost(before: RunService, after: RunService, *but: str) -> tuple[str, ...]:
    return tuple(each.path for each in compare(before.body, after.body, (*RELEASE, "traffic[*", *but)))


async def test_a_release_keeps_all_that_four_lines_do_not_say(theirs: App) -> None:
    before = await service(theirs)
    await ship(theirs)
    after = await service(theirs)
    assert lost(before, after) == ()
    assert after.body["template"]["labels"]["team"] == "web"
    assert set(after.routed.values()) == {100}
    assert await access.is_public(after.name)
    rows = await artifact(f"{theirs.name}-production-web-{REGION}-taken-over")
    kept = {row["setting"] for row in rows if row["what"] == "kept"}
    assert {"vpcAccess.connector", "volumes[cloudsql].cloudSqlInstance.instances", "timeout"} <= kept
    assert {row["setting"] for row in rows if row["what"] == "changed"} == {"containers[0].image"}


@pytest.mark.parametrize(
    "source", [program(status=500), program(instead="sys.exit(3)\n")], ids=["is not healthy", "does not start"]
)
async def test_a_release_that_fails_leaves_the_service_as_it_was_to_whoever_changes_it_next(
    theirs: App, source: str
) -> None:
    before = await service(theirs)
    theirs.write("web", source)
    theirs.commit("v1.1.0")
    with pytest.raises(SlipwayError):
        await ship(theirs)
    after = await service(theirs)
    assert compare(before.body, after.body, ("labels[slipway-*", "labels[managed-by]", "traffic[tag=*")) == ()
    assert after.latest_created == before.latest_created
    template = {**THEIRS, "timeout": "61s"}
    updated = await services.update_service({"name": after.name, "template": template}, ["template"], 60)
    assert updated.routed == {updated.latest_created: 100}


async def test_what_others_set_between_releases_is_kept_and_what_is_said_no_more_is_taken_away(theirs: App) -> None:
    said = "  web: {{health: {{body: ok, tries: 2, backoff_min: 0.1s, timeout: 1s, samples: 3}}{}}}"
    theirs.manifest(said.format(", concurrency: 5, env: {OURS: a}"))
    theirs.commit()
    theirs.git("tag", "-f", "v1.0.0")
    await ship(theirs)
    first = await service(theirs)
    template = deepcopy(dict(first.body["template"]))
    template.pop("revision")
    template["containers"][0]["env"].append({"name": "BETWEEN", "value": "x"})
    await services.update_service({"name": first.name, "template": template}, ["template"], 60)
    theirs.manifest(said.format(""))
    theirs.commit("v1.1.0")
    await ship(theirs)
    after = await service(theirs)
    names = {each["name"] for each in after.body["template"]["containers"][0]["env"]}
    assert names == {"THEIRS", "BETWEEN"}
    assert after.body["template"]["maxInstanceRequestConcurrency"] == 80
    await rollback(Source(repository=str(theirs.folder)), "production")
    assert set((await service(theirs)).routed) == {first.latest_created}


async def test_what_terraform_sets_waits_for_the_next_release_and_goes_live_with_it(theirs: App) -> None:
    """As its provider writes: the whole template as it was read, with another memory and without a revision's name."""
    await ship(theirs)
    released = await service(theirs)
    template = deepcopy(dict(released.body["template"]))
    template.pop("revision")
    template["containers"][0]["resources"]["limits"]["memory"] = "4Gi"
    applied = await services.update_service({"name": released.name, "template": template}, ["template"], 60)
    assert applied.routed == released.routed
    await ship(theirs)
    after = await service(theirs)
    assert after.body["template"]["containers"][0]["resources"]["limits"]["memory"] == "4Gi"
    assert after.template.images == released.template.images
    assert after.mostly not in (released.mostly, applied.latest_created)
    assert set(after.routed.values()) == {100}

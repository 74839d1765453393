"""A service that others have set, on the local Cloud Run: a release over it loses nothing, also when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.cloud import run_v2
from prefect.logging import disable_run_logger

from infra.gcp.run import services
from infra.gcp.run.services import RunService
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import ANSWERS
from tasks.drift.compare import compare
from tasks.history.masking import masked
from tasks.manifest.loading import parse_manifest
from tasks.model import Candidate, Image, Outcome, Place, Request, Snapshot
from tasks.names.references import PLACEHOLDER_IMAGE
from tasks.preflight.create import placeholder_body
from tasks.rollout.base import base_of, said_then, template_of
from tasks.rollout.changes import changes, lines
from tasks.rollout.former import written_for
from tasks.rollout.live import LiveService, read_live
from tasks.rollout.restore import give_back, give_template
from tasks.rollout.sent import Sent
from tasks.rollout.service import SAYS, Desired, desired, said_before
from tasks.rollout.whole import set_whole, to_change
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import HELLO, PARENT, REGION, Run, new_name
from tests.tasks.builders import a_record, a_target, a_version

pytestmark = pytest.mark.usefixtures("cloud_env")
HELLO_IMAGE = Image("web", HELLO, "", "")
SAYS_NOTHING = "{}"
# A field number that no message has: what a newer API may send.
UNKNOWN = b"\xba\xf3\x03\x05later"

RICH: dict[str, Any] = {
    "labels": {"team": "web"},
    "annotations": {"note": "set by hand"},
    "scaling": {"minInstanceCount": 1, "maxInstanceCount": 7},
    "timeout": "60s",
    "maxInstanceRequestConcurrency": 12,
    "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
    "sessionAffinity": True,
    "vpcAccess": {"connector": f"{PARENT}/connectors/main", "egress": "ALL_TRAFFIC"},
    "volumes": [
        {"name": "cloudsql", "cloudSqlInstance": {"instances": [f"{PROJECT}:{REGION}:main"]}},
        {"name": "scratch", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}},
    ],
    "containers": [
        {
            "name": "app",
            "image": HELLO,
            "ports": [{"containerPort": 9000}],
            "resources": {"limits": {"cpu": "2", "memory": "2Gi"}, "startupCpuBoost": True},
            "env": [{"name": "THEIRS", "value": "1"}, {"name": "LEVEL", "value": "debug"}],
            "startupProbe": {"httpGet": {"path": "/"}, "periodSeconds": 3},
            "livenessProbe": {"httpGet": {"path": "/live"}, "periodSeconds": 30},
            "volumeMounts": [
                {"name": "cloudsql", "mountPath": "/cloudsql"}, {"name": "scratch", "mountPath": "/scratch"},
            ],
            "dependsOn": ["proxy"],
        },
        {
            "name": "proxy", "image": HELLO, "env": [{"name": "LEVEL", "value": "warn"}],
            "startupProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 5},
        },
    ],
}  # fmt: skip


class Adopted:
    """A service of somebody else's, and what Slipway asks for over it."""

    def __init__(self, says: str = SAYS_NOTHING) -> None:
        self.app = new_name("keep")
        self.name = f"{PARENT}/services/{self.app}-web"
        self.place = Place("web", REGION)
        self.request = self.asks(says)

    def asks(self, says: str) -> Request:
        manifest = parse_manifest(
            f"app: {self.app}\nservices: {{web: {says}}}\n"
            f"environments: {{test: {{project: {PROJECT}, regions: [{REGION}]}}}}"
        )
        return Request(self.app, "test", ("web",), manifest, manifest.environment("test"), Path(), Path(), "0" * 36)

    async def made(self, body: dict[str, Any] | None = None, unknown: bytes = b"") -> RunService:
        """As another tool makes it, with traffic for whichever revision is the newest."""
        message = services._message({"template": body or RICH})
        pb = run_v2.Service.pb(message)
        if unknown:
            pb.template.MergeFromString(unknown)
            pb.template.containers[0].MergeFromString(unknown)
        Run().create(f"{self.app}-web", message.template)
        return (await self.live()).service

    async def live(self) -> LiveService:
        return await read_live(self.request, self.place)

    def wanted(self, live: RunService, version: str = "v1.0.0") -> Desired:
        """With the image by its name: the one that runs without a network has no digest."""
        found = desired(self.request, a_version(version), HELLO_IMAGE, {}, {}, base_of(live))
        containers = [{**each, "image": HELLO} for each in found.template["containers"]]
        return replace(found, template={**found.template, "containers": containers})

    async def deploy(self, version: str = "v1.0.0") -> Desired:
        """Dark: what served keeps all traffic."""
        live = await self.live()
        wanted = self.wanted(live.service, version)
        serving = live.service.latest_ready
        body = {
            "name": self.name,
            "etag": live.service.etag,
            "template": {**wanted.template, "revision": wanted.revision},
            "traffic": [services.traffic_body(each) for each in self.dark(serving, wanted)],
        }
        await services.update_service(body, ["template", "traffic"], 60, live.service)
        return wanted

    @staticmethod
    def dark(serving: str, wanted: Desired) -> tuple[TrafficTarget, ...]:
        return (TrafficTarget(serving, 100), TrafficTarget(wanted.revision, 0, wanted.tag))


@pytest.fixture(autouse=True)
def no_logs() -> Iterator[None]:
    with disable_run_logger():  # no test here is a run
        yield


@pytest.fixture
def theirs() -> Adopted:
    return Adopted()


def without_ours(template: dict[str, Any]) -> dict[str, Any]:
    """A template without the marks that a release leaves on it, and its name."""
    found = {key: value for key, value in template.items() if key != "revision"}
    found["labels"] = {k: v for k, v in found.get("labels", {}).items() if not k.startswith(("slipway-", "managed-by"))}
    found["annotations"] = {k: v for k, v in found.get("annotations", {}).items() if k != SAYS}
    return found


async def test_a_release_over_it_loses_nothing(theirs: Adopted) -> None:
    before = dict(template_of(await theirs.made()))
    wanted = theirs.wanted((await theirs.live()).service)
    asked = without_ours(dict(wanted.template))
    expected, found = ({"name": theirs.name, "template": each} for each in (before, asked))
    assert compare(expected, found) == ()
    assert set(said_before(wanted.template) or ()) == {"containers[].image"}


async def test_what_it_says_is_changed_and_told_and_the_rest_is_kept(theirs: Adopted) -> None:
    theirs.request = theirs.asks("{memory: 4Gi, env: {LEVEL: info}, timeout: 30s}")
    live = await theirs.made()
    wanted = theirs.wanted(live)
    container = wanted.template["containers"][0]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert {each["name"]: each["value"] for each in container["env"]} == {"THEIRS": "1", "LEVEL": "info"}
    found = changes(template_of(live), wanted.template)
    changed = {each.setting: (each.live, each.released) for each in found if not each.kept}
    assert changed["containers[0].resources.limits.memory"] == ("2Gi", "4Gi")
    assert changed.keys() == {"containers[0].resources.limits.memory", "containers[0].env[LEVEL]", "timeout"}
    kept = {each.setting for each in found if each.kept}
    assert {"vpcAccess.connector", "sessionAffinity", "labels[team]", "containers[0].env[THEIRS]"} <= kept
    assert "changes timeout: 60s -> 30s" in set(lines(found))


def template_as_it_came(service: RunService) -> Any:
    return run_v2.Service.pb().FromString(service.wire).template


async def test_fields_that_this_client_does_not_know_are_kept(theirs: Adopted) -> None:
    await theirs.made(unknown=UNKNOWN)
    await theirs.deploy()
    template = template_as_it_came((await theirs.live()).service)
    assert template.SerializeToString().count(UNKNOWN) == 2
    assert b"later" in template.containers[0].SerializeToString()


async def test_the_same_release_again_asks_for_the_same_revision(theirs: Adopted) -> None:
    await theirs.made()
    first = await theirs.deploy()
    again = theirs.wanted((await theirs.live()).service)
    assert again.revision == first.revision


async def test_a_key_that_is_said_no_more_goes_back_to_its_default(theirs: Adopted) -> None:
    theirs.request = theirs.asks("{concurrency: 5, min_instances: 2, env: {ONE: a, TWO: b}}")
    await theirs.made()
    await theirs.deploy()
    theirs.request = theirs.asks("{env: {ONE: a}}")
    await theirs.deploy("v1.1.0")
    template = template_of((await theirs.live()).service)
    assert template["maxInstanceRequestConcurrency"] == 80
    assert template["scaling"] == {"maxInstanceCount": 7}
    names = [each["name"] for each in template["containers"][0]["env"]]
    assert sorted(names) == ["LEVEL", "ONE", "THEIRS"]


@pytest.mark.parametrize("shifted", [False, True], ids=["before it had traffic", "with all traffic"])
async def test_a_release_that_fails_gives_the_template_back_and_the_newest_revision_its_traffic(
    theirs: Adopted, *, shifted: bool
) -> None:
    before = await theirs.made(unknown=UNKNOWN)
    snapshot = replace((await theirs.live()).snapshot, serving=before.latest_ready, health=ANSWERS)
    wanted = await theirs.deploy()
    live = (await theirs.live()).service
    split = theirs.dark(before.latest_ready, wanted)
    candidate = Candidate(
        wanted.revision, wanted.tag, live.uri_of_tag(wanted.tag), live.uri, snapshot, split, ANSWERS
    )  # fmt: skip
    if shifted:
        split = (TrafficTarget(wanted.revision, 100, wanted.tag),)
        await services.set_traffic(theirs.name, split, "", 60)
    ending = await give_back(theirs.request, candidate, (split,), careful=False)
    assert ending.outcome is (Outcome.TAKEN_BACK if shifted else Outcome.UNTOUCHED)
    after = (await theirs.live()).service
    assert compare(before.body, {**after.body, "labels": {}}, ("traffic[tag=*",)) == ()
    assert after.latest_created == before.latest_created
    assert template_as_it_came(after).SerializeToString().count(UNKNOWN) == 2
    again = await services.update_service(
        {"name": theirs.name, "template": {**RICH, "timeout": "61s"}}, ["template"], 60
    )  # as another tool does it
    assert again.routed == {again.latest_created: 100}


async def test_what_is_said_of_the_service_is_set_when_it_is_proven_and_given_back_when_it_fails(
    theirs: Adopted,
) -> None:
    theirs.request = theirs.asks("{ingress: internal, description: the shop, scaling: {min: 2}, iap: false}")
    before = await theirs.made()
    snapshot = replace((await theirs.live()).snapshot, serving=before.latest_ready, health=ANSWERS)
    wanted = await theirs.deploy()
    live = (await theirs.live()).service
    assert live.whole == before.whole
    split = theirs.dark(before.latest_ready, wanted)
    candidate = Candidate(
        wanted.revision, wanted.tag, live.uri_of_tag(wanted.tag), live.uri, snapshot, split, ANSWERS,
        whole=wanted.whole,
    )  # fmt: skip
    assert to_change(candidate) == ("description", "ingress", "scaling")
    moved = (TrafficTarget(wanted.revision, 100, wanted.tag),)
    await services.set_traffic(theirs.name, moved, "", 60)
    for _ in range(2):
        await set_whole.fn(theirs.request, candidate, Sent())  # type: ignore[attr-defined]  # the task without Prefect
        found = (await theirs.live()).service
        assert {key: found.whole[key] for key in to_change(candidate)} == {
            "description": "the shop", "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY", "scaling": {"minInstanceCount": 2},
        }  # fmt: skip
    await services.update_service({"name": theirs.name, "description": "theirs"}, ["description"], 60)
    ending = await give_back(theirs.request, candidate, (moved,), careful=False)
    assert ending.outcome is Outcome.TAKEN_BACK
    after = (await theirs.live()).service
    assert after.whole == {**before.whole, "description": "theirs"}


async def test_where_no_candidate_came_about_the_template_is_given_back_by_what_the_record_tells(
    theirs: Adopted,
) -> None:
    before = await theirs.made()
    wanted = await theirs.deploy()
    assert written_for(f"{theirs.app}-web", "v1.0.0")(wanted.revision)
    assert not written_for(f"{theirs.app}-web", "v1.0.1")(wanted.revision)
    known = Snapshot(theirs.place, (), "", "", stands_for=before.latest_created)
    ending = await give_template(theirs.request, known, "v1.0.1", careful=True)
    assert ending.said == "its placeholder served all the time"
    ending = await give_template(theirs.request, known, "v1.0.0", careful=True)
    assert ending.outcome is Outcome.UNTOUCHED
    after = (await theirs.live()).service
    assert compare(before.body, {**after.body, "labels": {}}, ("traffic[*",)) == ()


async def test_what_others_have_changed_since_is_theirs(theirs: Adopted) -> None:
    before = await theirs.made()
    await theirs.deploy()
    await services.update_service({"name": theirs.name, "template": {**RICH, "timeout": "5s"}}, ["template"], 60)
    known = Snapshot(theirs.place, (), "", "", stands_for=before.latest_created)
    await give_template(theirs.request, known, "v1.0.0", careful=True)
    assert template_of((await theirs.live()).service)["timeout"] == "5s"


async def test_a_placeholder_is_built_on_by_nobody(theirs: Adopted) -> None:
    body = placeholder_body(theirs.request)
    made = await services.create_service(theirs.name, body, 60)
    assert "scaling" not in theirs.wanted(made).template
    own = Adopted()
    hello = await own.made({"containers": [{"image": PLACEHOLDER_IMAGE}], "scaling": {"maxInstanceCount": 3}})
    assert own.wanted(hello).template["scaling"] == {"maxInstanceCount": 3}


def test_what_an_earlier_slipway_wrote_it_had_said() -> None:
    place = Place("api", "europe-west1")
    template = {"labels": {"slipway-run": "v1"}, "containers": [{"image": "a", "env": [{"name": "A", "value": "1"}]}]}
    record = a_record("v1", 1, targets=(a_target("api", "api-v1").model_copy(update={"template": template}),))
    assert said_then(place, template, [record]) == {"containers[].image", "containers[].env[A]"}
    assert said_then(place, template, []) == frozenset()
    assert said_then(place, {**template, "labels": {}}, [record]) == frozenset()


def test_what_somebody_has_set_since_an_earlier_slipway_wrote_it_is_not_what_that_had_said() -> None:
    def template(memory: str, value: str) -> dict[str, Any]:
        env = [{"name": "A", "value": value}, {"name": "B", "value": "1"}]
        limits = {"cpu": "1", "memory": memory}
        containers = [{"image": "a", "env": env, "resources": {"limits": limits}}]
        return {"labels": {"slipway-run": "v1"}, "timeout": "300s", "containers": containers}

    target = a_target("api", "api-v1").model_copy(update={"template": masked(template("512Mi", "1"))})
    by_hand = {**template("2Gi", "2"), "timeout": "60s"}
    assert said_then(Place("api", "europe-west1"), by_hand, [a_record("v1", 1, targets=(target,))]) == {
        "containers[].image", "containers[].env[B]", "containers[].resources.limits[cpu]",
    }  # fmt: skip

"""Worker pools that are released, given back, or brought to what a record wants, on the local cloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from infra.gcp.run import worker_pools
from infra.gcp.run.worker_pools import RunPool, Split
from tasks.failures.errors import ProofFailed, TrafficConflict
from tasks.history.pool_record import PoolRecord
from tasks.model import Outcome, Request, Verdict
from tasks.rollout.pools import deploy_pool, move_pool, planned
from tasks.rollout.pools_back import bring_pool, give_pool_back
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_pools import WORKER, eventually, lines_of
from tests.infra.emulator.emulated_run import HELLO, new_name
from tests.tasks.builders import a_request, a_version

pytestmark = pytest.mark.usefixtures("cloud_env", "quiet")
TEXT = f"""
app: NAME
services: {{web: {{}}}}
worker_pools: {{mailer: {{watch: 1s, command: [python3, -c, CODE], env: {{WORD: MORE}}, SAID}}}}
environments:
  production: {{project: {PROJECT}, regions: [europe-west1], strategy: {{canary: [34], bake: 1s}}}}
"""
GOOD, BAD = WORKER, "import sys; sys.exit(7)"


class Image:
    """Google's own, which has no digest here."""

    reference = HELLO


@pytest.fixture
def quiet() -> Iterator[None]:
    with disable_run_logger():
        yield


def request_of(app: str, word: str, said: str = "scaling: 3", code: str = GOOD) -> Request:
    quoted = '"' + code.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    text = TEXT.replace("NAME", app).replace("CODE", quoted).replace("MORE", word).replace("SAID", said)
    return a_request(text=text)


async def now(request: Request) -> RunPool | None:
    return await worker_pools.get_pool(request.run_pool("mailer"))


async def dark(request: Request, version: str) -> PoolRecord:
    image: Any = Image()
    known = planned(request, "mailer", image, await now(request))
    made: PoolRecord = await deploy_pool.fn(request, a_version(version), image, known)  # type: ignore[attr-defined]
    return made


async def moved(request: Request, known: PoolRecord) -> PoolRecord:
    """The task without Prefect."""
    done: PoolRecord = await move_pool.fn(request, known)  # type: ignore[attr-defined]
    return done


async def released(request: Request, version: str) -> PoolRecord:
    return await moved(request, await dark(request, version))


async def test_a_release_passes_the_instances_step_by_step_and_a_rollback_gives_them_back(cloud: LocalCloud) -> None:
    app = new_name("app")
    first = await released(request_of(app, "one"), "v1.0.0")
    assert (first.outcome, first.verdict, first.existed) == (Outcome.LIVE, Verdict.HEALTHY, False)
    request = request_of(app, "two", "labels: {team: red}")
    there = await now(request)
    assert there and (there.asked, there.instances) == ({first.revision: 100}, 3)
    eventually(lambda: len(lines_of(there.id, first.revision)) >= 3)

    second = await dark(request, "v1.1.0")
    during = await now(request)
    assert during and during.splits == (Split(first.revision, 100),) and during.latest_ready == second.revision
    assert (await dark(request, "v1.1.0")).revision == second.revision  # an attempt that is repeated
    second = await moved(request, second)
    after = await now(request)
    assert after and (after.splits, after.instances) == ((Split(second.revision, 100),), 1)
    assert after.labels["team"] == "red" and after.labels["slipway-version"] == "v1_1_0"

    back = await bring_pool(first.model_copy(update={"outcome": Outcome.GIVING_BACK, "before": (("", 100),),
                                                     "stands_for": second.revision}))  # fmt: skip
    assert back.outcome is Outcome.LIVE, back.said
    again = await now(request)
    assert again and (again.asked, again.instances) == ({first.revision: 100}, 3)
    assert again.template["revision"] == first.revision and "team" not in again.labels


async def test_a_worker_that_dies_is_told_and_everything_is_as_it_was() -> None:
    app = new_name("app")
    first = await released(request_of(app, "one", "scaling: 2"), "v1.0.0")
    request = request_of(app, "two", "scaling: 2, description: new", BAD)
    before = await now(request)
    known = await dark(request, "v1.1.0")
    with pytest.raises(ProofFailed, match=r"Container called exit\(7\)"):
        await moved(request, known)
    ending = await give_pool_back(known, request.run_id)
    assert ending.outcome is Outcome.TAKEN_BACK, ending.said
    after = await now(request)
    assert before and after
    assert (after.asked, after.template, after.labels) == ({first.revision: 100}, before.template, before.labels)
    assert "description" not in after.body
    assert (await give_pool_back(known, request.run_id)).outcome is Outcome.UNTOUCHED


async def test_what_somebody_else_has_done_meanwhile_is_left() -> None:
    app = new_name("app")
    await released(request_of(app, "one", "scaling: 1"), "v1.0.0")
    request = request_of(app, "two", "scaling: 1")
    known = await dark(request, "v1.1.0")
    live = await now(request)
    assert live
    theirs = {"template": {**live.template, "revision": f"{live.id}-theirs"}, "instanceSplits": [
        worker_pools.split_body(Split(f"{live.id}-theirs", 100))]}  # fmt: skip
    await worker_pools.write_pool(live.name, theirs, live, 60)
    with pytest.raises(TrafficConflict, match="Somebody else has given instances"):
        await moved(request, known)
    ending = await give_pool_back(known, request.run_id)
    assert (ending.outcome, "somebody else" in ending.said) == (Outcome.LEFT, True)


async def test_a_pool_that_was_not_there_before_stays_without_instances() -> None:
    request = request_of(new_name("app"), "one", "scaling: 1")
    known = await released(request, "v1.0.0")
    ending = await give_pool_back(known, request.run_id)
    live = await now(request)
    assert live and (ending.outcome, live.instances) == (Outcome.LEFT, 0)


async def test_settings_of_a_newer_api_stay() -> None:
    """gcloud writes a scaling mode that this client does not know."""
    app = new_name("app")
    request = request_of(app, "one", "scaling: 1")
    await released(request, "v1.0.0")
    live = await now(request)
    assert live
    live.resource.scaling.MergeFromString(b"\x08\x02")  # scaling_mode: MANUAL
    live.resource.template.MergeFromString(b"\xfa\x3e\x01x")  # field 1007
    await worker_pools.write_pool(live.name, {"scaling": {"manualInstanceCount": 1}, "template": {
        **live.template, "revision": f"{live.id}-newer"}}, live, 60)  # fmt: skip
    await released(request_of(app, "two", "scaling: 1"), "v1.1.0")
    after = await now(request)
    assert after
    assert b"\x08\x02" in after.resource.scaling.SerializeToString()
    assert b"\xfa\x3e\x01x" in after.resource.template.SerializeToString()

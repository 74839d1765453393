"""Whether an execution of a job has done its work: only the counts of its tasks tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as Packed

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import jobs
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_jobs import Jobs, a_job
from tests.infra.emulator.emulated_run import HELLO, PARENT, new_name

NAME = "projects/acme-test/locations/europe-west1/jobs/migrate/executions/migrate-x7k2p"


def an_execution(**counts: int) -> run_v2.Execution:
    return run_v2.Execution(name=NAME, **counts)


def an_operation(*, done: bool, **counts: int) -> jobs.Operation:
    """As RunJob answers it, and when it has ended: well, whatever became of the execution."""
    found = Packed()
    found.Pack(run_v2.Execution.pb(an_execution(**counts)))
    answer = operations_pb2.Operation(name="operations/1", done=done, metadata=found, response=found if done else None)
    return jobs.Operation(answer, unasked, unasked, run_v2.Execution, metadata_type=run_v2.Execution)


async def unasked(**_: Any) -> None:
    pytest.fail("who knows the end asks no more")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"task_count": 1, "succeeded_count": 1}, ""),
        ({"task_count": 3, "succeeded_count": 3}, ""),
        ({"task_count": 1, "cancelled_count": 1}, "of 1 tasks 0 succeeded, 1 cancelled"),
        ({"task_count": 3, "succeeded_count": 2, "failed_count": 1}, "of 3 tasks 2 succeeded, 1 failed"),
        (
            {"task_count": 3, "succeeded_count": 1, "failed_count": 1, "cancelled_count": 1},
            "of 3 tasks 1 succeeded, 1 failed, 1 cancelled",
        ),
        ({"task_count": 2, "succeeded_count": 1}, "of 2 tasks 1 succeeded"),
        ({"task_count": 1, "succeeded_count": 1, "cancelled_count": 1}, "of 1 tasks 1 succeeded, 1 cancelled"),
        ({}, "of 0 tasks 0 succeeded"),
    ],
    ids=["one", "all", "cancelled", "partly", "of each", "not all", "a count too many", "nothing is known"],
)
async def test_an_operation_that_ends_well_does_not_say_that_the_work_is_done(
    counts: dict[str, int], said: str
) -> None:
    ended = await jobs.ended(an_operation(done=True, **counts), 5)
    assert (ended.name, ended.shortfall) == (NAME, said)


async def test_an_execution_that_is_under_way_has_its_name_already() -> None:
    """An operation belongs to a loop that runs."""
    assert jobs.execution_of(an_operation(done=False, task_count=1)) == NAME


async def test_one_that_has_ended_is_not_cancelled() -> None:
    """Without any cloud to ask."""
    await jobs.cancel(an_operation(done=True, task_count=1, failed_count=1))


async def test_a_job_that_is_not_there_is_not_run(cloud_env: dict[str, str]) -> None:
    with pytest.raises(GoogleError) as failed:
        await jobs.start_job("projects/acme-test/locations/europe-west1/jobs/migrate")
    assert failed.value.status in ("NOT_FOUND", "UNIMPLEMENTED")


async def test_one_that_is_under_way_is_asked_to_end(cloud_env: dict[str, str]) -> None:
    """The local cloud has no executions: what it refuses is the call that Google would carry out."""
    with pytest.raises(GoogleError) as failed:
        await jobs.cancel(an_operation(done=False, task_count=1))
    assert failed.value.method == "run.executions.cancel"


TEMPLATE = {"template": {"containers": [{"image": HELLO}], "maxRetries": 0}}
UPDATE, CREATE = (f"google.cloud.run.v2.Jobs/{verb}Job" for verb in ("Update", "Create"))


@pytest.fixture
def faults(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[LocalCloud]:
    yield cloud
    cloud.put("/faults", [])


async def made(**labels: str) -> jobs.RunJob:
    name = f"{PARENT}/jobs/{new_name('written')}"
    return await jobs.write_job(name, TEMPLATE, labels, None, 60)


def others(job: jobs.RunJob, **fields: Any) -> dict[str, Any]:
    return {**job.template, **fields}


@pytest.mark.usefixtures("cloud_env")
async def test_a_job_is_made_and_changed_and_keeps_what_it_is_besides() -> None:
    first = await made(team="a")
    found = Jobs().jobs.get_job(name=first.name)
    found.annotations["theirs"] = "x"
    Jobs().update(found)
    live = await jobs.get_job(first.name)
    assert live is not None
    second = await jobs.write_job(first.name, others(live, taskCount=3), {"team": "b"}, live, 60)
    assert (second.template["taskCount"], second.labels) == (3, {"team": "b"})
    assert second.resource.annotations == {"theirs": "x"}


@pytest.mark.usefixtures("cloud_env")
async def test_what_somebody_else_has_changed_since_is_not_overwritten() -> None:
    first = await made()
    found = Jobs().jobs.get_job(name=first.name)
    found.template.task_count = 7
    Jobs().update(found)
    with pytest.raises(GoogleError) as refused:
        await jobs.write_job(first.name, TEMPLATE, {}, first, 60)
    assert refused.value.status == "ABORTED"
    with pytest.raises(GoogleError) as refused:
        await jobs.begin(first, "mine", 60)
    assert refused.value.status == "ABORTED"


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("method", [CREATE, UPDATE])
async def test_a_write_whose_answer_is_lost_is_found_or_fails_and_is_never_repeated(
    faults: LocalCloud, method: str, arrives: bool
) -> None:
    before = None if method == CREATE else await made()
    name = before.name if before else f"{PARENT}/jobs/{new_name('written')}"
    faults.put("/faults", [{"method": method, "drop": "after" if arrives else "before"}])
    wanted = {**TEMPLATE, "taskCount": 2}
    if arrives:
        assert (await jobs.write_job(name, wanted, {}, before, 60)).template["taskCount"] == 2
    else:
        with pytest.raises(GoogleError):
            await jobs.write_job(name, wanted, {}, before, 60)
    assert faults.faulted()[method] >= 1


@pytest.mark.parametrize("drop", ["after", "before", ""])
async def test_an_execution_with_a_name_is_begun_once_however_often_that_is_asked_for(
    faults: LocalCloud, drop: str
) -> None:
    job = Jobs().create(a_job())
    if drop:
        faults.put("/faults", [{"method": UPDATE, "drop": drop, "times": 1}])
    for _ in range(3):
        live = await jobs.get_job(job.name)
        assert live is not None
        try:
            name = await jobs.begin(live, "once", 60)
        except GoogleError:
            assert drop == "before"
    ended = await jobs.ended_execution(name, 60)
    assert ended.shortfall == ""
    assert [each.name for each in Jobs().executions.list_executions(parent=job.name)] == [name]


@pytest.mark.usefixtures("cloud_env")
async def test_an_execution_is_cancelled_by_its_name_and_what_is_not_there_is_not() -> None:
    job = Jobs().create(a_job(SECONDS="60"))
    live = await jobs.get_job(job.name)
    assert live is not None
    assert not await jobs.cancel_execution(jobs.named_execution(job.name, "gone"))
    name = await jobs.begin(live, "long", 60)
    with pytest.raises(GoogleError, match="not ended"):
        await jobs.ended_execution(name, 0.1)
    assert await jobs.cancel_execution(name)
    assert (await jobs.ended_execution(name, 60)).cancelled == 1
    assert await jobs.cancel_execution(name)


@pytest.mark.usefixtures("cloud_env")
async def test_google_looks_at_a_job_and_writes_nothing() -> None:
    name = f"{PARENT}/jobs/{new_name('asked')}"
    await jobs.validate_job(name, TEMPLATE, {}, None)
    assert await jobs.get_job(name) is None
    with pytest.raises(GoogleError, match="max_retries"):
        await jobs.validate_job(name, {"template": {**TEMPLATE["template"], "maxRetries": 11}}, {}, None)


@pytest.mark.usefixtures("cloud_env")
async def test_a_newer_field_of_a_job_is_kept() -> None:
    first = await made()
    unknown = b"\xfa\x3e\x03new"  # field 1007, of no client that there is yet
    first.resource.template.template.MergeFromString(unknown)
    message = jobs._message(first.name, others(first, taskCount=2), {}, first)
    assert message.template.template.SerializeToString().endswith(unknown)
    assert json_format.MessageToDict(message.template)["taskCount"] == 2

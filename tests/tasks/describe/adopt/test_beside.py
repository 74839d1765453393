"""Jobs and worker pools that are there are described, and what is made of that is the same again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import run_v2
from prefect.logging import disable_run_logger

from infra.gcp.run import jobs, worker_pools
from tasks.describe.adopt.adopt import adopt
from tasks.describe.adopt.live import read_live
from tasks.describe.adopt.seen import Kind, Seen
from tasks.describe.adopt.together import Target
from tasks.model import Request
from tasks.rollout.job import bare_job, desired_job, job_labels
from tasks.rollout.pool import bare_pool
from tasks.rollout.pools import deploy_pool, move_pool, planned
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_pools import WORKER, Pools, template
from tests.infra.emulator.emulated_run import HELLO, PARENT, QUICK, REGION, Run, new_name
from tests.tasks.builders import a_request, a_version

TARGET = Target("production", PROJECT, (REGION,))
ALIVE = run_v2.Probe(http_get=run_v2.HTTPGetAction(path="/alive", port=8080), period_seconds=30, failure_threshold=9)
SQL = run_v2.Volume(name="cloudsql", cloud_sql_instance=run_v2.CloudSqlInstance(instances=[f"{PROJECT}:{REGION}:main"]))
NETWORK = run_v2.VpcAccess(connector=f"projects/{PROJECT}/locations/{REGION}/connectors/main")


class Image:
    """The image that they have, under the name of the one that is released."""

    reference = HELLO


def container(**fields: Any) -> run_v2.Container:
    return run_v2.Container(
        image=HELLO,
        args=["one", "two words"],
        env=[run_v2.EnvVar(name="LEVEL", value="info")],
        resources=run_v2.ResourceRequirements(limits={"cpu": "2", "memory": "1Gi"}),
        volume_mounts=[run_v2.VolumeMount(name="cloudsql", mount_path="/cloudsql")],
        **fields,
    )


@pytest.fixture
def there(cloud_env: dict[str, str]) -> Iterator[str]:
    """The app of which a service, a job and a worker pool are there."""
    app = new_name("app")
    Run().create(f"{app}-web", run_v2.RevisionTemplate(containers=[run_v2.Container(image=HELLO)]))
    task = run_v2.TaskTemplate(containers=[container()], volumes=[SQL], vpc_access=NETWORK, max_retries=1)
    job = run_v2.Job(
        labels={"team": "red"},
        template=run_v2.ExecutionTemplate(template=task, task_count=3, parallelism=2, labels={"team": "red"}),
    )
    made = run_v2.JobsClient().create_job(parent=PARENT, job=job, job_id=f"{app}-tidy")
    made.result(polling=QUICK)
    worker = template(volumes=[SQL], vpc_access=NETWORK, labels={"team": "blue"})
    worker.containers = [container(liveness_probe=ALIVE, command=["python3", "-c", WORKER])]
    Pools().create(f"{app}-mailer", worker, count=2, labels={"team": "blue"}, description="sends mails")
    with disable_run_logger():
        yield app


async def adopted(app: str) -> str:
    names = [f"{app}-{each}" for each in ("web", "tidy", "mailer")]
    seen = await read_live(PROJECT, [REGION], names, lambda _: None)
    return adopt(app, TARGET, seen).text


async def deployed(request: Request, app: str) -> None:
    image: Any = Image()
    wanted = desired_job(request, a_version(), image, "tidy", {}, None)
    await jobs.write_job(request.run_job("tidy"), wanted, job_labels(request, "tidy", wanted, None), None, 60)
    known = planned(request, "mailer", image, None)
    dark = await deploy_pool.fn(request, a_version(), image, known)  # type: ignore[attr-defined]  # without Prefect
    await move_pool.fn(request, dark)  # type: ignore[attr-defined]


async def test_adopted_deleted_and_deployed_they_are_the_same_again(there: str) -> None:
    text = await adopted(there)
    assert "jobs:\n  tidy:\n" in text and "worker_pools:\n  mailer:\n" in text
    assert text.count("service: web") == 2  # whose image both of them run
    request = a_request(text=text.replace("    scaling: 2\n", "    scaling: 2\n    watch: 1s\n"))
    job, pool = await jobs.get_job(request.run_job("tidy")), await worker_pools.get_pool(request.run_pool("mailer"))
    assert job and pool
    run_v2.JobsClient().delete_job(name=job.name).result(polling=QUICK)
    await worker_pools.delete_pool(pool.name, pool.etag, 60)
    await deployed(request, there)
    job_after, after = await jobs.get_job(job.name), await worker_pools.get_pool(pool.name)
    assert job_after and after
    ours = "slipway-says"
    again = bare_job(job_after.template)
    assert {k: v for k, v in again.pop("annotations").items() if k != ours} == {}
    assert again == bare_job(job.template) and job_after.labels["team"] == "red"
    made = bare_pool(after.template)
    assert {k: v for k, v in made.pop("annotations").items() if k != ours} == {}
    assert made == bare_pool(pool.template)
    assert (after.instances, after.body["description"], after.labels["team"]) == (2, "sends mails", "blue")


def seen(kind: Kind, body: dict[str, Any], name: str = "shop-x") -> Seen:
    return Seen(name, REGION, body, PROJECT, kind=kind)


WEB = Seen("shop-web", REGION, {"template": {"containers": [{"image": HELLO}]}}, PROJECT)


def test_what_has_no_word_is_told_and_an_image_of_its_own_is_written() -> None:
    body = {"template": {"template": {"containers": [{"image": "docker.io/acme/x:1", "workingDir": "/srv"}]}}}
    text = adopt("shop", TARGET, [WEB, seen(Kind.JOB, body)]).text
    assert "    image: docker.io/acme/x:1\n" in text
    assert "slipway.yaml cannot say template.template.containers[0].workingDir (/srv)" in text


def test_only_a_pool_that_another_name_belongs_to_says_its_name() -> None:
    body = {"template": {"containers": [{"image": HELLO}]}, "scaling": {"manualInstanceCount": 4}}
    text = adopt("shop", TARGET, [WEB, seen(Kind.POOL, body, "mail-worker")]).text
    assert "  mail-worker:\n" in text and "    name: mail-worker\n" in text and "    scaling: 4\n" in text
    assert "name:" not in adopt("shop", TARGET, [WEB, seen(Kind.POOL, body, "shop-mailer")]).text

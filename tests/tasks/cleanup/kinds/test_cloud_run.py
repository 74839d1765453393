"""How many of what runs there must be, by what is known of it."""

from __future__ import annotations

import inspect

from google.cloud import run_v2

from infra.gcp.run.templates import Template, Workload
from tasks.cleanup.engine.model import Item
from tasks.cleanup.kinds import cloud_run
from tasks.cleanup.kinds.cloud_run import Survey, not_suddenly_none, staying
from tasks.cleanup.kinds.images import IMAGE
from tests.tasks.builders import a_request
from tests.tasks.cleanup.looks import a_look, a_service, live

WHERE = ("acme-prod", "europe-west1")
REGION = "projects/acme-prod/locations/europe-west1"


def test_as_many_services_must_be_there_as_clean_up_leaves() -> None:
    before = Survey({WHERE: [a_service(f"{REGION}/services/{name}") for name in ("shop-api", "orphan")]}, ())
    assert staying(before, {f"{REGION}/services/orphan"}) == {WHERE: 1}
    assert staying(before, set()) == {WHERE: 2}


def test_of_jobs_that_others_may_delete_meanwhile_some_must_be_there() -> None:
    before = Survey({WHERE: [Workload(f"{REGION}/jobs/{number}", Template()) for number in range(7)]}, ())
    assert not_suddenly_none(before) == {WHERE: 1}
    assert not_suddenly_none(None) == {}


SURVEYED = {"list_services", "list_revisions", "list_jobs", "list_executions", "list_worker_pools", "list_instances"}
PART_OF = {"list_tasks": "list_executions"}  # a task has its execution's template


def test_whatever_cloud_run_can_list_is_asked_who_needs_what() -> None:
    """A new kind of workload in Google's client is a kind of use that clean-up would not see."""
    clients = [getattr(run_v2, name) for name in dir(run_v2) if name.endswith("AsyncClient")]
    can = {name for each in clients for name in dir(each) if name.startswith("list_") and name != "list_operations"}
    assert can == SURVEYED | PART_OF.keys()
    source = inspect.getsource(cloud_run)
    assert [name for name in SURVEYED if f".{name}" not in source] == []


async def test_running_executions_and_instances_need_what_they_were_started_with() -> None:
    image = Item(IMAGE, f"{REGION}/repositories/shop/dockerImages/api@sha256:one", "", "shop", digest="sha256:one")
    at = f"{REGION.replace('europe-west1', 'asia-east1')}"
    template = Template(("europe-west1-docker.pkg.dev/acme-prod/shop/api@sha256:one",))
    run = Workload(f"{at}/jobs/nightly/executions/nightly-x1", template)
    single = Workload(f"{at}/instances/agent", template)
    _, uses = await live(a_look((a_request(),), executions=[run], instances=[single]), [image])
    assert {use.by for use in uses if "sha256:one" in use.needs} == {"nightly-x1 in asia-east1", "agent in asia-east1"}

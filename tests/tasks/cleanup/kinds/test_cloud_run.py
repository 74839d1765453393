"""How many of what runs there must be, by what is known of it."""

from __future__ import annotations

from infra.gcp.run.templates import Template, Workload
from tasks.cleanup.kinds.cloud_run import Survey, not_suddenly_none, staying
from tests.tasks.cleanup.looks import a_service

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

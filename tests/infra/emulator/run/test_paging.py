"""The lists of Cloud Run: their order, their pages, and places that do not exist."""

from __future__ import annotations

import pytest
from google.api_core import exceptions

from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import PARENT, Run, new_name, short, template

MARS = f"projects/{PROJECT}/locations/mars-1"


@pytest.fixture
def run(cloud_env: dict[str, str]) -> Run:
    return Run()


def test_revisions_are_listed_newest_first_page_by_page(run: Run) -> None:
    service = run.create(new_name())
    made = [service.latest_ready_revision]
    for number in range(3):
        service.template = template(env={"N": str(number)})
        service = run.update(service)
        made.insert(0, service.latest_ready_revision)
    assert [r.name for r in run.revisions.list_revisions(parent=service.name)] == made
    first = run.revisions.list_revisions({"parent": service.name, "page_size": 2})
    token = next(iter(first.pages)).next_page_token
    run.revisions.delete_revision(name=made[1]).result()  # what the token points at is gone
    rest = run.revisions.list_revisions({"parent": service.name, "page_token": token})
    assert [short(r.name) for r in rest] == [short(name) for name in made[2:]]


def test_a_region_that_is_none_is_refused_and_not_empty(run: Run) -> None:
    for ask in (
        lambda: run.services.list_services(parent=MARS),
        lambda: run.revisions.list_revisions(parent=f"{MARS}/services/-"),
    ):
        with pytest.raises(exceptions.PermissionDenied, match="Location mars-1 is not found"):
            ask()
    assert run.services.list_services(parent=f"projects/{PROJECT}/locations/-") is not None
    assert run.services.list_services(parent=PARENT) is not None

"""What the answers of the cloud come to: who needs what, and which answers are believed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infra.gcp.run.workloads import Workload
from tasks.cleanup.engine.model import Item, Kind, Listing, Use
from tasks.cleanup.found import Found, Memory
from tasks.cleanup.kinds.images import Place, References
from tasks.cleanup.kinds.run import Fleet, doubts, floors_of, held_uses, run_found
from tasks.cleanup.uses import protected_releases
from tasks.history.record import ReleaseRecord, State
from tests.tasks.builders import NOW, a_request

REQUESTS = (a_request("staging"), a_request("production"))
PLACE = Place("projects/acme-prod/locations/europe-west1/repositories/shop", "shop", ("production",), ("api", "web"))
REGION = "projects/acme-prod/locations/europe-west1"
SERVICE = f"{REGION}/services/shop-api"
REVISION = f"{SERVICE}/revisions/shop-api-v1"
OURS = {"managed-by": "slipway", "slipway-app": "shop", "slipway-environment": "production"}


def image(name: str, digest: str, *tags: str) -> Item:
    full = f"{PLACE.repository}/dockerImages/{name}@sha256:{digest}"
    return Item(Kind.IMAGE, full, f"{name}/production", "shop", digest=f"sha256:{digest}", tags=tags)


def workload(name: str, *images: str, **more: object) -> Workload:
    return replace(Workload(name, {}, NOW, "", images, "", {}), **more)  # type: ignore[arg-type]


REFERENCES = References.of(
    [PLACE], [image("api", "one", "v1"), image("teams%2Fapi", "two", "v2"), image("web", "three")]
)
HOST = "europe-west1-docker.pkg.dev/acme-prod"


@pytest.mark.parametrize(
    ("reference", "keys"),
    [
        (f"{HOST}/shop/api@sha256:one", {"sha256:one"}),
        (f"{HOST}/shop/api:v1@sha256:one", {"sha256:one"}),
        (f"{HOST}/shop/api@sha256:unlisted", {"sha256:unlisted"}),
        (f"{HOST}/shop/api:v1", {"sha256:one"}),
        (f"{HOST}/shop/api:v2", {f"{HOST}/shop/api:v2"}),
        (f"{HOST}/shop/api", {f"{HOST}/shop/api:latest"}),
        (f"{HOST}/shop/teams/api:v2", {"sha256:two"}),
        ("gcr.io/acme-prod/api@sha256:one", {"sha256:one"}),
        (f"{HOST}/virtual/api:v1", {"sha256:one"}),
        ("gcr.io/acme-prod/teams/api:v2", {"sha256:two"}),
        ("us-docker.pkg.dev/cloudrun/container/hello", set()),
        ("us-docker.pkg.dev/cloudrun/container/hello@sha256:unlisted", set()),
        ("nginx:v9", set()),
    ],
)
def test_a_reference_leads_to_every_image_that_it_may_mean(reference: str, keys: set[str]) -> None:
    """One of ours that no listing has is a key of its own, so that the plan is refused until it is looked for."""
    assert set(REFERENCES.keys([reference])) == keys


def test_jobs_and_worker_pools_anywhere_need_their_images() -> None:
    others = (
        workload("projects/acme-prod/locations/asia-east1/jobs/nightly", f"{HOST}/virtual/api:v1"),
        workload("projects/acme-staging/locations/us-west1/workerPools/mail", f"{HOST}/shop/web@sha256:three"),
    )
    found = run_found(Fleet(others=others), REQUESTS, REFERENCES)
    assert {use.by: use.needs for use in found.uses if use.needs} == {
        "nightly in asia-east1": ("sha256:one",), "mail in us-west1": ("sha256:three",),
    }  # fmt: skip


def a_fleet(environment: str) -> Fleet:
    labels = {**OURS, "slipway-environment": environment}
    service = workload(SERVICE, labels=labels, routes={REVISION: "100 % of its traffic"}, routed=True)
    revisions = (workload(REVISION, labels=labels), workload(f"{SERVICE}/revisions/shop-api-v0", labels=labels))
    return Fleet((service,), revisions)


def test_services_of_an_environment_that_slipway_yaml_lacks_keep_all_their_revisions() -> None:
    """An old checkout may not know production yet, whose history is then not read."""
    used = {key for use in run_found(a_fleet("canada"), REQUESTS, REFERENCES).uses for key in use.needs}
    assert f"{SERVICE}/revisions/shop-api-v0" in used
    used = {key for use in run_found(a_fleet("production"), REQUESTS, REFERENCES).uses for key in use.needs}
    assert f"{SERVICE}/revisions/shop-api-v0" not in used


def test_accounts_that_something_runs_as_and_buckets_that_something_mounts_are_in_use() -> None:
    mail = workload(f"{REGION}/workerPools/mail", account="mail@acme.iam.gserviceaccount.com")
    files = workload(f"{REGION}/services/files", buckets=("acme-files", "of-somebody-else"))
    names = {"mail@acme.iam.gserviceaccount.com": "accounts/mail", "acme-files": "gs://acme-files"}
    held = {use.needs: use.by for use in held_uses(Fleet((files,), (), (mail,)), names)}
    assert held == {("accounts/mail",): mail.name, ("gs://acme-files",): files.name}


LISTED = Listing("Cloud Run services in acme-prod, europe-west1", NOW, 1)


@pytest.mark.parametrize(
    ("listing", "revisions", "said"),
    [
        (LISTED, (REVISION,), []),
        (replace(LISTED, error="503"), (REVISION,), ["could not be listed: 503"]),
        (replace(LISTED, count=0, floor=1), (), ["has 0 items, at least 1", "which no listing has"]),
        (LISTED, (), ["which no listing has"]),
    ],
    ids=["whole", "failed", "empty", "without what serves"],
)
def test_what_is_asked_before_each_step_is_doubted_like_what_the_plan_rests_on(
    listing: Listing, revisions: tuple[str, ...], said: list[str]
) -> None:
    found = Found(
        tuple(Item(Kind.REVISION, name, "", "shop") for name in revisions), (Use("api", (REVISION,)),), (listing,)
    )
    problems = list(doubts(found))
    assert len(problems) == len(said)
    assert all(part in problem for part, problem in zip(said, problems, strict=True))


def test_as_many_services_must_be_there_as_clean_up_leaves() -> None:
    jobs, regions = Listing("Cloud Run jobs in acme-prod, europe-west1", NOW, 7), Listing("Cloud Run regions", NOW, 40)
    fleet = Fleet((workload(SERVICE), workload(f"{REGION}/services/orphan")), listings=(LISTED, jobs, regions))
    assert floors_of(fleet, {f"{REGION}/services/orphan"}) == {LISTED.source: 1, jobs.source: 1}
    assert floors_of(fleet, set())[LISTED.source] == 2


def test_what_had_something_and_suddenly_has_nothing_is_believed_a_day_later() -> None:
    source = LISTED.source
    memory = Memory().counting([replace(LISTED, count=3)], NOW)
    for hours in (0, 1, 19):
        at = NOW + timedelta(hours=hours)
        memory = memory.trusting(at).counting([replace(LISTED, count=0)], at)
        assert memory.floor(source) == 1
    assert memory.trusting(NOW + timedelta(hours=23)).floor(source) == 0
    again = memory.counting([replace(LISTED, count=1)], NOW + timedelta(hours=20))
    assert again.trusting(NOW + timedelta(hours=48)).floor(source) == 1


def test_an_answer_that_failed_does_not_make_the_next_empty_one_believed() -> None:
    memory = Memory().counting([LISTED], NOW).counting([replace(LISTED, count=0, error="503")], NOW)
    assert memory.trusting(datetime.max.replace(tzinfo=UTC)).floor(LISTED.source) == 1


def release(number: int, state: State) -> ReleaseRecord:
    return ReleaseRecord(
        app="shop", environment="production", version=f"v1.{number}.0", kind="release", commit="c", run_id=str(number),
        started=NOW + timedelta(days=number), state=state,
    )  # fmt: skip


def test_a_release_that_waits_for_its_approval_is_protected_behind_newer_ones() -> None:
    """However few are kept: nobody has said no to it."""
    history = [
        release(3, State.RELEASED),
        release(2, State.FAILED),
        release(1, State.STARTED),
        release(0, State.RELEASED),
    ]
    assert [record.version for record in protected_releases(history, 1)] == ["v1.3.0", "v1.1.0"]

"""What the answers of the cloud come to: who needs what, and which answers are believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.gcp.run.templates import Workload
from tasks.cleanup.engine.model import Item, Listing, Use
from tasks.cleanup.inventory import doubts
from tasks.cleanup.kinds.adapter import Look
from tasks.cleanup.kinds.buckets import BUCKET
from tasks.cleanup.kinds.images import IMAGE
from tasks.cleanup.kinds.releases import claims_of, rollback_needs
from tasks.cleanup.kinds.revisions import REVISION
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT
from tasks.history.pool_record import PoolRecord
from tests.tasks.builders import NOW, a_record, a_request, a_target
from tests.tasks.cleanup.looks import a_look, a_pool, a_revision, a_service, a_template, live

REQUESTS = (a_request("staging"), a_request("production"))
REGION = "projects/acme-prod/locations/europe-west1"
SERVICE = f"{REGION}/services/shop-api"
REVISION_NAME = f"{SERVICE}/revisions/shop-api-v1"
EARLIER = f"{SERVICE}/revisions/shop-api-v0"
OURS = {"managed-by": "slipway", "slipway-app": "shop", "slipway-environment": "production"}
HOST = "europe-west1-docker.pkg.dev/acme-prod"


def image(name: str, digest: str, *tags: str) -> Item:
    full = f"{REGION}/repositories/shop/dockerImages/{name}@sha256:{digest}"
    return Item(IMAGE, full, f"{name}/production", "shop", digest=f"sha256:{digest}", tags=tags)


async def test_jobs_and_worker_pools_anywhere_need_their_images() -> None:
    jobs = [Workload("projects/acme-prod/locations/asia-east1/jobs/nightly", a_template(f"{HOST}/virtual/api:v1"))]
    pools = [
        a_pool("projects/acme-staging/locations/us-west1/workerPools/mail", a_template(f"{HOST}/shop/web@sha256:three"))
    ]
    _, uses = await live(a_look(REQUESTS, jobs=jobs, pools=pools), [image("api", "one", "v1"), image("web", "three")])
    assert {use.by: use.needs for use in uses if use.needs} == {
        "nightly in asia-east1": ("sha256:one",), "mail in us-west1": ("sha256:three",),
    }  # fmt: skip


def serving(environment: str) -> Look:
    """A service of ours that serves one of its two revisions."""
    labels = {**OURS, "slipway-environment": environment}
    revisions = [a_revision(REVISION_NAME, labels), a_revision(EARLIER, labels)]
    return a_look(REQUESTS, [a_service(SERVICE, ["shop-api-v1"], labels)], revisions)


@pytest.mark.parametrize(("environment", "kept"), [("canada", True), ("production", False)])
async def test_services_of_an_environment_that_slipway_yaml_lacks_keep_all_their_revisions(
    environment: str, kept: bool
) -> None:
    """An old checkout may not know production yet, whose history is then not read."""
    _, uses = await live(serving(environment), ())
    assert (EARLIER in {key for use in uses for key in use.needs}) is kept


async def test_what_routes_say_is_told_of_the_revision_that_they_lead_to() -> None:
    _, uses = await live(serving("production"), ())
    assert [(use.by, use.needs) for use in uses if use.live] == [
        ("shop-api in europe-west1: 100 % of its traffic", (REVISION_NAME,))
    ]


async def test_accounts_that_something_runs_as_and_buckets_that_something_mounts_are_in_use() -> None:
    mail = a_pool(f"{REGION}/workerPools/mail", a_template(account="mail@acme.iam.gserviceaccount.com"))
    files = a_service(f"{REGION}/services/files", template=a_template(buckets=("acme-files", "of-somebody-else")))
    listed = [
        Item(SERVICE_ACCOUNT, "projects/acme/serviceAccounts/mail@acme.iam.gserviceaccount.com", "", None),
        Item(BUCKET, "gs://acme-files", "", None),
    ]
    _, uses = await live(a_look(REQUESTS, [files], pools=[mail]), listed)
    assert {use.needs: use.by for use in uses if use.needs} == {
        (listed[0].name,): "mail in europe-west1", ("gs://acme-files",): "files in europe-west1",
    }  # fmt: skip


async def test_a_revision_of_ours_cannot_do_without_its_image() -> None:
    revision = a_revision(REVISION_NAME, OURS, a_template(f"{HOST}/shop/api:v1"))
    items, _ = await live(a_look(REQUESTS, [a_service(SERVICE, labels=OURS)], [revision]), [image("api", "one", "v1")])
    assert {item.name: item.needs for item in items} == {SERVICE: (), REVISION_NAME: ("sha256:one",)}


def test_no_rollback_needs_a_service_that_slipway_yaml_has_no_more() -> None:
    """A clean-up that had taken one away, as it was told to, failed by what a rollback would not have brought back."""
    had = a_record("v1", 1, targets=(a_target("api", "api-v1"), a_target("old", "old-v1")))
    needs = set(rollback_needs(REQUESTS[-1], [a_record("v2", 2), had], 2))
    revisions = {each.name.rpartition("/")[2] for each in needs if each.kind == REVISION}
    assert revisions == {"api-v1", "api-v2"}


LISTED = Listing("Cloud Run services in acme-prod, europe-west1", NOW, 1)


@pytest.mark.parametrize(
    ("listing", "revisions", "said"),
    [
        (LISTED, (REVISION_NAME,), []),
        (replace(LISTED, error="503"), (REVISION_NAME,), ["could not be listed: 503"]),
        (replace(LISTED, count=0, floor=1), (), ["has 0 items, at least 1", "which no listing has"]),
        (LISTED, (), ["which no listing has"]),
    ],
    ids=["whole", "failed", "empty", "without what serves"],
)
def test_what_is_asked_before_each_step_is_doubted_like_what_the_plan_rests_on(
    listing: Listing, revisions: tuple[str, ...], said: list[str]
) -> None:
    items = tuple(Item(REVISION, name, "", "shop") for name in revisions)
    problems = list(doubts(items, (Use("api", (REVISION_NAME,)),), (listing,)))
    assert len(problems) == len(said)
    assert all(part in problem for part, problem in zip(said, problems, strict=True))


MAILER = f"{REGION}/workerPools/shop-mailer"
POOL_REVISIONS = [f"{MAILER}/revisions/shop-mailer-v{number}" for number in range(4)]


def of_a_pool(labels: dict[str, str], splits: dict[str, int] | None) -> Look:
    made = [a_revision(name, labels, a_template(f"{HOST}/shop/web@sha256:three")) for name in POOL_REVISIONS]
    pool = a_pool(MAILER, labels=labels, splits=splits, revisions=made)
    record = a_record("v2", 2, targets=(), pools=(PoolRecord(pool="mailer", name=MAILER, revision="shop-mailer-v2"),))
    later = a_record("v3", 3, targets=())  # of a service: what it goes back to is the pool's of v2
    return a_look(REQUESTS, pools=[pool], histories={"production": [later, record]})


async def test_a_worker_pools_old_revisions_may_go_and_those_with_instances_and_of_a_rollback_stay() -> None:
    items, uses = await live(of_a_pool(OURS, {"shop-mailer-v3": 100}), [image("web", "three")])
    assert [item.name for item in items if item.kind == REVISION] == POOL_REVISIONS
    assert {item.group for item in items} == {"worker pool shop-mailer/production in europe-west1"}
    (use,) = [use for use in uses if use.live and POOL_REVISIONS[3] in use.needs]
    assert (use.by, use.needs) == (
        "the worker pool shop-mailer in europe-west1: 100 % of its instances", (POOL_REVISIONS[3],),
    )  # fmt: skip
    assert all(item.needs == ("sha256:three",) for item in items)
    look = of_a_pool(OURS, {"shop-mailer-v3": 100})
    needed = {need.name for claim in claims_of(REQUESTS[1], look.histories["production"].records, 1)
              for need in claim.needs if need.kind == REVISION}  # fmt: skip
    assert needed == {POOL_REVISIONS[2]}


async def test_of_a_worker_pool_whose_instances_nobody_knows_all_revisions_stay() -> None:
    _, uses = await live(of_a_pool(OURS, None), ())
    assert set(POOL_REVISIONS) <= {key for use in uses for key in use.needs}


async def test_revisions_of_others_worker_pools_are_not_ours_to_judge_and_need_their_images() -> None:
    items, uses = await live(of_a_pool({}, {"shop-mailer-v3": 100}), [image("web", "three")])
    assert items == ()
    assert [use.by for use in uses if "sha256:three" in use.needs] == [
        f"shop-mailer-v{number} in europe-west1" for number in range(4)
    ]

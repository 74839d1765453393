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
from tasks.cleanup.kinds.revisions import REVISION
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT
from tests.tasks.builders import NOW, a_request
from tests.tasks.cleanup.looks import a_look, a_revision, a_service, a_template, live

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
        Workload(
            "projects/acme-staging/locations/us-west1/workerPools/mail", a_template(f"{HOST}/shop/web@sha256:three")
        )
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
    mail = Workload(f"{REGION}/workerPools/mail", a_template(account="mail@acme.iam.gserviceaccount.com"))
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

"""Services, buckets and accounts: what is never taken for unused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from infra.gcp.calls.errors import GoogleError
from infra.gcp.iam.accounts import ServiceAccount
from infra.gcp.run.templates import Template
from infra.gcp.storage.buckets import Bucket
from tasks.cleanup.engine.model import DELETE, CleanupStep, Item
from tasks.cleanup.kinds.adapter import Reference, ResourceKind, refuse_another
from tasks.cleanup.kinds.buckets import Buckets, bucket_item, defined, is_googles
from tasks.cleanup.kinds.estate import EstateKind
from tasks.cleanup.kinds.registry import KINDS
from tasks.cleanup.kinds.revisions import revision_item
from tasks.cleanup.kinds.service_accounts import ServiceAccounts, account_item, emails, named_by
from tasks.cleanup.kinds.services import SERVICE, Services, service_item
from tasks.cleanup.kinds.sql_instances import SQL_INSTANCE, SqlInstances
from tasks.cleanup.memory import Memory
from tasks.cleanup.propose import policy_of
from tasks.manifest.retention import Retention
from tests.tasks.builders import MANIFEST, NOW, a_request
from tests.tasks.cleanup.looks import a_look, a_revision, a_service, live

REGION = "projects/acme-prod/locations/europe-west1/services"
OURS = {"managed-by": "slipway", "slipway-app": "shop", "slipway-environment": "production"}
MAY_GO = f"{MANIFEST}retention: {{foreign: delete}}"


@pytest.mark.parametrize("text", [MANIFEST, MAY_GO], ids=["report", "delete"])
async def test_a_service_of_others_that_has_traffic_is_in_use(text: str) -> None:
    """Twelve of them were planned as "400 days old, unused" at 100 % traffic."""
    there = [a_service(f"{REGION}/billing", ["billing-1"]), a_service(f"{REGION}/broken")]
    _, uses = await live(a_look((a_request(text=text),), there), ())
    used = {key: use.by for use in uses for key in use.needs}
    assert used[f"{REGION}/billing"] == "billing in europe-west1: it has traffic"
    assert f"{REGION}/broken" not in used


@pytest.mark.parametrize(("scaling", "since"), [({}, None), ({"scalingMode": "MANUAL"}, NOW)])
def test_a_service_counts_as_disabled_since_clean_up_has_done_it(scaling: dict[str, str], since: object) -> None:
    found = replace(a_service(f"{REGION}/old", labels=OURS), body={"scaling": scaling})
    assert service_item(found, "shop", Memory(taken={found.name: NOW})).prepared == since
    assert service_item(found, "shop", Memory(disabled={found.name: NOW})).prepared is None  # a person has


@pytest.mark.parametrize(("off", "since"), [(False, None), (True, NOW)])
def test_an_account_counts_as_disabled_since_clean_up_has_done_it(off: bool, since: object) -> None:
    found = ServiceAccount("accounts/old@acme.iam.gserviceaccount.com", "old@acme.iam.gserviceaccount.com", "e", off)
    assert account_item(found, Memory(taken={found.name: NOW}), NOW).prepared == since
    assert account_item(found, Memory(disabled={found.name: NOW}), NOW).prepared is None


@pytest.mark.parametrize(
    "name",
    [
        "gcf-v2-uploads-1234-europe-west1",
        "gcf-v2-sources-1234-europe-west1",
        "acme-prod.appspot.com",
        "staging.acme-prod.appspot.com",
        "eu.artifacts.acme-prod.appspot.com",
        "acme-prod_cloudbuild",
        "acme-prod.firebasestorage.app",
        "run-sources-acme-prod-europe-west1",
    ],
)
def test_googles_own_buckets_are_never_ours(name: str) -> None:
    item: Item = bucket_item(Bucket(name, 1, "EU", {}, NOW, 1, NOW), "shop")
    assert item.locked
    assert is_googles(name)
    assert not is_googles(f"acme-{name.replace('_', '-').replace('.', '-')}")


def test_buckets_that_provisioning_makes_are_defined_by_slipway_yaml() -> None:
    """They carry the app's labels, and were orphans that went while nothing was in them."""
    said = "provision: {buckets: {uploads: , logs: {name: acme-logs}}, accounts: {signer: }}"
    text = MANIFEST.replace("    service_account: runner", f"    {said}\n    service_account: runner")
    request = a_request(text=text)
    assert set(defined(request)) >= {request.settings.bucket, "acme-prod-shop-uploads", "acme-logs"}
    assert "signer@acme-prod.iam.gserviceaccount.com" in set(named_by(request))


@pytest.mark.parametrize(
    ("said", "used"),
    [
        ("acme-uploads", True),
        ("gs://acme-uploads/in/2026", True),
        ("https://storage.googleapis.com/acme-uploads/logo.png", True),
        ("https://acme-uploads.storage.googleapis.com/logo.png", True),
        ('{"from": "acme-in", "to": "acme-uploads"}', True),
        ("acme-uploads-eu", False),
        ("the-acme-uploads", False),
    ],
)
async def test_an_empty_bucket_whose_name_a_service_is_told_is_in_use(said: str, used: bool) -> None:
    """It waits for its first object."""
    there = a_service(f"{REGION}/billing", ["billing-1"], template=Template(words=(said,)))
    item = bucket_item(Bucket("acme-uploads", 1, "EU", {}, NOW, 1, NOW), "shop")
    _, uses = await live(a_look((a_request(text=MAY_GO),), [there]), [item])
    by = {key: use.by for use in uses for key in use.needs}
    assert by.get(item.key, "") == ("billing in europe-west1, which is told its name" if used else "")


def test_accounts_that_a_policy_names_are_read_from_its_members() -> None:
    members = ["allUsers", "user:ada@example.com", "serviceAccount:cron@acme.iam.gserviceaccount.com"]
    members.append("deleted:serviceAccount:old@acme.iam.gserviceaccount.com?uid=1")
    assert emails(members) == ["cron@acme.iam.gserviceaccount.com"]


async def test_a_database_that_slipway_yaml_has_backed_up_is_in_use_whoever_connects() -> None:
    text = MANIFEST.replace(
        "    service_account: runner",
        "    backup: {cloudsql: ['acme-prod:europe-west1:orders']}\n    service_account: runner",
    )
    (claim,) = SqlInstances().claims(a_look((a_request(text=text),)))
    assert claim.needs == (Reference(SQL_INSTANCE, "projects/acme-prod/instances/orders"),)


def test_every_account_that_slipway_yaml_names_is_in_use_whatever_it_is_for() -> None:
    """Only those of services were: that of a job which is yet to be deployed was disabled."""
    text = """
app: shop
services: {web: {service_account: frontend, invokers: ["serviceAccount:callers", "user:ada@example.com"]}}
jobs: {migrate: {service_account: migrate}}
worker_pools: {mailer: {service_account: mailer}}
environments:
  production: {project: acme-prod, regions: [europe-west1], prober: prober, build_service_account: builder}
"""
    found = {each.partition("@")[0] for each in named_by(a_request(text=text)) if each}
    assert found == {"frontend", "callers", "migrate", "mailer", "prober", "builder"}


def test_what_is_foreign_is_decided_kind_by_kind() -> None:
    request = a_request(text=f"{MANIFEST}retention: {{foreign: {{services: delete}}}}")
    rules = policy_of("shop", request.manifest.retention, NOW).rules
    assert [kind for kind, rule in rules.items() if rule.foreign == "delete"] == [SERVICE]
    everything = policy_of("shop", a_request(text=MAY_GO).manifest.retention, NOW).rules
    reported = {kind for kind, rule in everything.items() if rule.foreign == "report"}
    assert reported == {each.kind for each in KINDS if isinstance(each, EstateKind)}  # what stands beside an app


@pytest.mark.parametrize("kind", [each.kind for each in KINDS if isinstance(each, EstateKind)])
def test_every_kind_beside_an_app_goes_only_where_it_is_named(kind: str) -> None:
    named = Retention.model_validate({"foreign": {f"{kind.replace(' ', '_')}s": "delete"}})
    assert named.foreign_of(kind) == "delete"
    assert Retention.model_validate({"foreign": "delete"}).foreign_of(kind) == "report"


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (Services(), f"{REGION}/old", "gcloud beta run services update old --scaling=auto --region=europe-west1"),
        (
            ServiceAccounts(),
            "projects/p/serviceAccounts/a@p.iam",
            "gcloud iam service-accounts enable a@p.iam",
        ),
        (Buckets(), "gs://old", "gcloud storage buckets update gs://old --clear-soft-delete"),
    ],
    ids=["service", "account", "bucket"],
)
def test_the_journal_says_how_a_first_step_is_undone(kind: ResourceKind, name: str, said: str) -> None:
    item = Item(kind.kind, name, "", None)
    assert kind.undo(CleanupStep(kind.traits.first, item, "")).startswith(said)
    assert kind.undo(CleanupStep(DELETE, item, "")) == ""


def test_a_service_whose_status_changed_is_the_same_and_one_that_somebody_changed_is_not() -> None:
    """Status changes the etag, so that saved plans were refused although nobody had changed anything."""
    old = a_service(f"{REGION}/old", labels=OURS, etag="1")
    planned = service_item(old, "shop", Memory())
    assert service_item(replace(old, etag="2"), "shop", Memory()) == planned
    assert service_item(replace(old, etag="2", generation=2), "shop", Memory()) != planned


def test_a_revision_whose_status_changed_is_the_same_and_one_of_its_name_made_anew_is_not() -> None:
    old = a_revision(f"{REGION}/shop-api/revisions/v1", OURS, etag="1")
    planned = revision_item(old, "shop", {})
    assert revision_item(replace(old, etag="2"), "shop", {}) == planned
    made_anew = revision_item(replace(old, created=NOW + timedelta(days=1)), "shop", {})
    assert made_anew != planned
    refuse_another(planned, old.created)
    with pytest.raises(GoogleError, match="has changed since the plan was made"):
        refuse_another(planned, made_anew.uploaded or NOW)

"""By which rules an earlier commit is shipped."""

from __future__ import annotations

import pytest

from tasks.failures.errors import PromotionRefused
from tasks.manifest.environment import Environment
from tasks.model import Request
from tasks.release.promote import RULES, choose, taken_from, under_todays_rules
from tests.tasks.builders import MANIFEST, a_record, a_request

THEN = a_request()
LINES = """\
    approval: required
    on_inconclusive: pause
    slo: {max_error_rate: 0.5}
    timeouts: {prove: 1h}
    strategy: {canary: [10]}
    env: {LEVEL: debug}
    before: [{name: migrate, http: {url: "https://example.com"}}]
"""
NOW = a_request(text=MANIFEST + LINES).settings
OF_THE_COMMIT = ("name", "app", "project", "regions", "waves", "production", "before", "after", "repository", "bucket",
                 "create_apis", "service_account", "prober", "build_service_account", "env", "services",
                 "jobs", "worker_pools", "provision", "kubernetes")  # fmt: skip


@pytest.fixture(scope="module")
def shipped() -> Request:
    return under_todays_rules(THEN, NOW)


def test_what_a_failure_advises_to_change_helps_an_earlier_version_too(shipped: Request) -> None:
    assert (shipped.settings.on_inconclusive, shipped.settings.slo.max_error_rate) == ("pause", 0.5)
    assert (shipped.settings.timeouts.prove_s, shipped.settings.steps) == (3600, (10,))
    assert shipped.settings.approval == "required"


def test_what_runs_is_as_the_commit_says(shipped: Request) -> None:
    assert shipped.service("api") == THEN.service("api")
    assert shipped.settings.before == ()


def test_every_setting_of_an_environment_is_of_today_or_of_the_commit() -> None:
    assert sorted((*RULES, *OF_THE_COMMIT)) == sorted(Environment.model_fields)


def test_an_image_that_is_built_elsewhere_is_taken_from_the_environments_own_repository_by_its_digest() -> None:
    digest = f"sha256:{'a' * 64}"
    proven = {
        "api": f"europe-docker.pkg.dev/acme-staging/images/api@{digest}",
        "web": f"europe-west1-docker.pkg.dev/acme-staging/shop/web@{digest}",
    }
    assert taken_from(THEN, proven) == proven
    mirrored = a_request(
        text=MANIFEST.replace("source: api, ", "image: 'europe-docker.pkg.dev/acme-prod/mirror/api:v3', ")
    )
    assert taken_from(mirrored, proven) == proven | {"api": f"europe-docker.pkg.dev/acme-prod/mirror/api@{digest}"}


def test_the_image_of_a_job_is_promoted_too() -> None:
    proven = {"migrate": f"europe-west1-docker.pkg.dev/acme-staging/shop/migrate@sha256:{'b' * 64}"}
    assert taken_from(THEN, proven) == proven


def test_what_a_rollback_has_left_is_not_promoted_and_says_so() -> None:
    history = [a_record("v1", 3, action="rollback", left="v2"), a_record("v2", 2), a_record("v1", 1)]
    with pytest.raises(PromotionRefused, match="v2 is what a rollback has left in staging") as refused:
        choose(history, "staging", "v2")
    assert "name one of: v1" in refused.value.remedy
    assert choose(history, "staging", None).version == "v1"

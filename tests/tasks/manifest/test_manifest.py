"""slipway.yaml: what it may say, what is filled in, and how it is looked up."""

from __future__ import annotations

import datetime
import pickle
from zoneinfo import ZoneInfo

import jsonschema
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.failures.errors import ManifestError
from tasks.manifest.document import read_yaml
from tasks.manifest.loading import parse_manifest
from tasks.manifest.manifest import Manifest
from tasks.manifest.schema import json_schema
from tasks.manifest.shipping import Canary, FreezeCron, FreezeDates, HttpHook, JobHook
from tasks.manifest.values import SecretRef, format_duration, parse_duration
from tests.tasks.manifests import FULL, SMALL

# ---- what is filled in ---------------------------------------------------------------------------------------------


def test_a_service_needs_nothing_but_its_name() -> None:
    service = parse_manifest(SMALL).services["web"]
    assert (service.name, service.source, service.dockerfile, service.port) == ("web", "web", "Dockerfile", 8080)
    assert (service.memory, service.cpu, service.min_instances, service.max_instances) == ("512Mi", "1", 0, 100)
    assert (service.concurrency, service.timeout_s, service.public) == (80, 300, False)
    health = service.health
    assert (health.path, health.status, health.body, health.tries) == ("/", (200, 204), None, 5)
    assert (health.timeout_s, health.backoff_min_s, health.backoff_max_s, health.samples) == (30, 2, 32, 20)
    assert (service.build.machine_type, service.build.timeout_s, service.build.step_timeout_s) == (None, 1200, 600)


def test_an_environment_needs_nothing_but_project_and_regions() -> None:
    environment = parse_manifest(SMALL).environment("staging")
    assert (environment.name, environment.repository, environment.bucket) == ("staging", "shop", "acme-staging-slipway")
    assert (environment.waves, environment.strategy) == ((("europe-west1",),), "direct")
    assert (environment.approval, environment.approval_timeout_s) == ("none", 86400)
    assert (environment.on_inconclusive, environment.inconclusive_limit_s) == ("probe", 3600)
    assert (environment.when_busy, environment.busy_timeout_s) == ("wait", 1800)
    assert (environment.slo.max_error_rate, environment.slo.min_requests) == (0.01, 100)
    assert (environment.freeze, environment.before, environment.after, environment.create_apis) == ((), (), (), False)


@pytest.mark.parametrize(
    ("name", "extra", "production", "accepts"),
    [
        ("production", "", True, ("release",)),
        ("prod", "", True, ("release",)),
        ("live", ", production: true", True, ("release",)),
        ("staging", "", False, ("release", "prerelease", "development")),
        ("production", ", production: false", False, ("release", "prerelease", "development")),
        ("prod", ", accepts: [release, prerelease]", True, ("release", "prerelease")),
    ],
)
def test_production_accepts_releases_only_unless_told(
    name: str, extra: str, production: bool, accepts: tuple[str, ...]
) -> None:
    text = SMALL.replace("staging:", f"{name}:", 1).replace("]}", f"]{extra}}}")
    environment = parse_manifest(text).environment(name)
    assert (environment.production, environment.accepts) == (production, accepts)


def test_clean_up_is_careful_by_default() -> None:
    retention = parse_manifest(SMALL).retention
    assert (retention.keep, retention.max_age_s, retention.foreign) == (10, 90 * 86400, "report")
    assert (retention.max_items, retention.max_percent, retention.protect) == (50, 20, ())


# ---- what is read --------------------------------------------------------------------------------------------------


def test_every_setting_is_read() -> None:
    manifest = parse_manifest(FULL)
    api, production = manifest.services["api"], manifest.environment("production")
    assert (api.source, api.dockerfile, api.cpu, api.timeout_s) == ("services/api", "docker/Dockerfile", "2", 60)
    assert api.secrets == {"TOKEN": SecretRef("api-token"), "KEY": SecretRef("api-key", 7)}
    assert production.strategy == Canary(canary=(5, 25, 50), bake=300)
    assert production.waves == (("europe-west1",), ("us-central1", "asia-east1"))
    dates, cron = production.freeze
    assert isinstance(dates, FreezeDates)
    assert isinstance(cron, FreezeCron)
    assert dates.start == datetime.datetime(2026, 12, 20, tzinfo=ZoneInfo("Europe/Zurich"))
    assert (cron.cron, cron.duration_s, cron.timezone) == ("0 18 * * FRI", 60 * 3600, "UTC")
    assert isinstance(production.before[0], JobHook)
    assert isinstance(production.after[0], HttpHook)
    assert manifest.retention.max_age_s == 30 * 86400


def test_a_list_of_one_may_be_written_as_that_one() -> None:
    text = SMALL.replace("web:", "api: {}\n  web: {depends_on: api, health: {status: 204}}")
    text = text.replace("[europe-west1]", "europe-west1, accepts: release, strategy: {canary: 10}")
    manifest = parse_manifest(text)
    web, staging = manifest.services["web"], manifest.environment("staging")
    assert (web.depends_on, web.health.status) == (("api",), (204,))
    assert (staging.regions, staging.accepts, staging.steps) == (("europe-west1",), ("release",), (10,))
    document = read_yaml(text, "slipway.yaml")
    assert document is not None
    jsonschema.validate(document.data, json_schema())


@pytest.mark.parametrize("moment", ["2026-12-20", "2026-12-20T18:00", "2026-12-20 18:00:00", "2026-12-20T18:00:00Z"])
def test_a_freeze_begins_at_a_date_or_a_moment(moment: str) -> None:
    text = SMALL.replace("]}", f"], freeze: [{{from: {moment}, to: 2027-01-01}}]}}")
    (dates,) = parse_manifest(text).environment("staging").freeze
    assert isinstance(dates, FreezeDates)
    assert dates.start.date() == datetime.date(2026, 12, 20)


def test_a_moment_with_its_own_offset_keeps_it() -> None:
    freeze = "freeze: [{from: 2026-01-01T00:00:00Z, to: 2026-01-02T00:00:00+05:00, timezone: Europe/Zurich}]"
    (dates,) = parse_manifest(SMALL.replace("]}", f"], {freeze}}}")).environment("staging").freeze
    assert isinstance(dates, FreezeDates)
    assert [moment.utcoffset() for moment in (dates.start, dates.end)] == [
        datetime.timedelta(0),
        datetime.timedelta(hours=5),
    ]


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "10:30", "2026-01-31", "010", "1e3"])
def test_a_word_stays_the_word_it_is(word: str) -> None:
    text = SMALL.replace("web:", f"web: {{env: {{VALUE: {word}}}}}")
    assert parse_manifest(text).services["web"].env == {"VALUE": word}


def test_anchors_and_merges_work() -> None:
    text = "app: shop\nservices:\n  api: &base {memory: 1Gi, env: {A: a}}\n  web: {<<: *base, port: 9000}\n"
    manifest = parse_manifest(text + SMALL[SMALL.index("environments") :])
    assert (manifest.services["web"].memory, manifest.services["web"].port) == ("1Gi", 9000)


def test_a_manifest_is_frozen_and_survives_pickling() -> None:
    manifest = parse_manifest(FULL)
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        manifest.services["api"].port = 1  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(manifest)) == manifest


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("2m", 120), ("24h", 86400), ("90d", 7776000), ("1.5h", 5400), (45, 45), (0.5, 0.5)],
)
def test_a_duration_is_written_with_its_unit_or_in_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "30", "30 s", "1h30m", "-5s", "2w", "s", True, None, -1, float("inf"), float("nan")]
)
def test_anything_else_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match="must be a duration like 30s, 2m, 24h or 90d"):
        parse_duration(written)


@given(st.integers(0, 10**7))
def test_a_duration_survives_being_written(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


# ---- settings of a service in an environment -----------------------------------------------------------------------


def test_an_environment_overrides_only_what_it_says() -> None:
    manifest = parse_manifest(FULL)
    api = manifest.service_in("production", "api")
    assert (api.memory, api.min_instances, api.max_instances, api.cpu) == ("2Gi", 2, 5, "2")
    prober = "prober@acme-prod.iam.gserviceaccount.com"
    assert api.health == manifest.services["api"].health.model_copy(update={"prober": prober})
    assert manifest.services["api"].memory == "1Gi"


def test_variables_are_merged_and_the_most_specific_place_wins() -> None:
    api = parse_manifest(FULL).service_in("production", "api")
    assert api.env == {"LANG": "en", "TOKEN": "none"}
    assert api.secrets == {"KEY": SecretRef("api-key", 7), "MODE": SecretRef("api-mode", 2)}


def test_a_service_without_an_account_runs_as_the_environments() -> None:
    manifest = parse_manifest(FULL)
    own = "api-runtime@{}.iam.gserviceaccount.com"  # what stands before the @ is one of the environment's project
    assert manifest.service_in("production", "api").service_account == own.format("acme-prod")
    assert manifest.service_in("staging", "api").service_account == own.format("acme-staging")
    assert manifest.service_in("production", "frontend").service_account == "runtime@acme-prod.iam.gserviceaccount.com"
    assert manifest.service_in("staging", "frontend").service_account is None


@pytest.mark.parametrize(
    ("lookup", "said"),
    [
        (lambda manifest: manifest.environment("prodution"), "no environment 'prodution'; did you mean 'production'?"),
        (lambda manifest: manifest.service_in("staging", "ap"), "no service 'ap'; did you mean 'api'?"),
        (lambda manifest: manifest.service_in("nowhere", "api"), "no environment 'nowhere'"),
        (lambda manifest: manifest.order(["fronted"]), "no service 'fronted'; did you mean 'frontend'?"),
    ],
    ids=["environment", "service", "environment of a service", "order"],
)
def test_what_does_not_exist_is_refused_with_a_suggestion(lookup: object, said: str) -> None:
    assert callable(lookup)
    with pytest.raises(ManifestError) as raised:
        lookup(parse_manifest(FULL))
    assert said in raised.value.problem
    assert "choose one of: " in raised.value.remedy


# ---- order ---------------------------------------------------------------------------------------------------------


def chain(*depends: str) -> Manifest:
    services = "".join(f"  {line}\n" for line in depends)
    return parse_manifest(f"app: shop\nservices:\n{services}{SMALL[SMALL.index('environments') :]}")


def test_services_come_in_waves_after_what_they_depend_on() -> None:
    manifest = chain("web: {depends_on: [api, auth]}", "api: {depends_on: [db]}", "auth:", "db:")
    assert manifest.order() == (("auth", "db"), ("api",), ("web",))
    told = chain("web: {depends_on: [api], urls: {ORDERS: api, AUTH: auth}}", "api:", "auth:")
    assert told.order() == (("api", "auth"), ("web",))
    assert told.services["web"].upstreams == {"API_URL": "api", "ORDERS": "api", "AUTH": "auth"}


def test_a_subset_keeps_the_order_that_absent_services_ask_for() -> None:
    manifest = chain("web: {depends_on: [api]}", "api: {depends_on: [db]}", "db:")
    assert manifest.order(["web", "db"]) == (("db",), ("web",))
    assert manifest.order([]) == ()

"""What is wrong with slipway.yaml is told with its line and in its own words: all values at once, then all rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.failures.cause import Cause
from tasks.failures.errors import ManifestError
from tasks.manifest.loading import parse_manifest
from tests.tasks.manifests import FULL, SMALL

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def problems(text: str) -> list[str]:
    """The lines of the error that a text is refused with."""
    with pytest.raises(ManifestError) as raised:
        parse_manifest(text)
    assert raised.value.remedy
    assert raised.value.cause is Cause.INVALID_CONFIG
    return [line.strip() for line in raised.value.problem.splitlines()[1:]]


# ---- what is refused -----------------------------------------------------------------------------------------------


WRONG = """\
app: Shop
services:
  api:
    prot: 8080
    timeout: 5 minutes
    depends_on: [web]
    env:
      DEBUG: true
  web: {depends_on: [apii, api]}
  web: {depends_on: [apii, api], env: {API_URL: x}}
environments:
  staging:
    region: europe-west1
  production:
    project: acme-prod
    regions:
      - europe-west1
      - europe-west1
    waves: [[us-central1]]
    strategy: {canary: [50, 25]}
    services: {apy: {cpu: 2}, api: {min_instances: 500}}
retentoin: {keep: 1}
"""


def test_every_refused_value_is_told_at_once_with_its_line_and_a_suggestion() -> None:
    assert problems(WRONG) == [
        "slipway.yaml:1: app: must be lower-case letters, digits and hyphens, with a letter first and no hyphen last",
        "slipway.yaml:4: services.api.prot: unknown key; did you mean 'port'?",
        "slipway.yaml:5: services.api.timeout: must be a duration like 30s, 2m, 24h or 90d",
        "slipway.yaml:8: services.api.env.DEBUG: must be text; put it in quotes",
        "slipway.yaml:10: services.web: this key stands here twice, first on line 9",
        "slipway.yaml:12: environments.staging.project: is missing",
        "slipway.yaml:12: environments.staging.regions: is missing",
        "slipway.yaml:13: environments.staging.region: unknown key; did you mean 'regions'?",
        "slipway.yaml:20: environments.production.strategy.canary: must increase from step to step; "
        "the last step, 100, goes without saying",
        "slipway.yaml:22: retentoin: unknown key; did you mean 'retention'?",
    ]


def test_every_broken_rule_is_told_at_once_when_the_values_are_right() -> None:
    mended = WRONG
    for wrong, right in (
        ("Shop", "shop"),
        ("prot", "port"),
        ("5 minutes", "5m"),
        ("DEBUG: true", "DEBUG: 'true'"),
        ("    region: europe-west1", "    project: acme-staging\n    regions: [europe-west1]"),
        ("[50, 25]", "[25, 50]"),
        ("retentoin", "retention"),
    ):
        mended = mended.replace(wrong, right)
    assert problems(mended) == [
        "slipway.yaml:6: services.api.depends_on: depends on itself: api -> web -> api",
        "slipway.yaml:10: services.web.depends_on[0]: there is no service 'apii'; did you mean 'api'?",
        "slipway.yaml:10: services.web.env.API_URL: API_URL is set to the URL of 'api', as depends_on asks",
        "slipway.yaml:10: services.web: this key stands here twice, first on line 9",
        "slipway.yaml:19: environments.production.regions[1]: europe-west1 is there twice",
        "slipway.yaml:22: environments.production.services.api.min_instances: "
        "500 is more than max_instances, which is 100",
        "slipway.yaml:22: environments.production.services.apy: there is no service 'apy'; did you mean 'api'?",
    ]


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("{source: ../up}", "source: must be a path inside the repository"),
        ("{source: /abs}", "source: must be a path inside the repository"),
        ("{source: a/../../up}", "source: must be a path inside the repository"),
        ("{dockerfile: ''}", "dockerfile: must be a path inside the repository"),
        ("{port: 0}", "port: must be greater than or equal to 1"),
        ("{port: http}", "port: must be a valid integer"),
        ("{memory: 512}", "memory: must be text; put it in quotes"),
        ("{memory: lots}", "memory: must be an amount of memory, like 512Mi or 2Gi"),
        ("{cpu: true}", "cpu: must be text; put it in quotes"),
        ("{cpu: two}", "cpu: must be a number of CPUs, like 1, 0.5 or 500m"),
        ("{timeout: 2h}", "timeout: must be from 1s to 60m"),
        ("{concurrency: 1001}", "concurrency: must be less than or equal to 1000"),
        ("{env: {PORT: '1'}}", "env.PORT: is set by Cloud Run itself and cannot be given"),
        ("{env: {K_SERVICE: x}}", "env.K_SERVICE: is set by Cloud Run itself and cannot be given"),
        ("{env: {9LIVES: x}}", "env.9LIVES: must be letters, digits, _, . and -"),
        ("{secrets: {KEY: 'key:latest'}}", "secrets.KEY: must be the name of a secret, or name:7"),
        ("{secrets: {KEY: 'key:0'}}", "secrets.KEY: must be the name of a secret, or name:7"),
        ("{env: {KEY: x}, secrets: {KEY: key}}", "secrets.KEY: KEY is in env too; a variable has one source"),
        ("{depends_on: [web]}", "depends_on: depends on itself: web -> web"),
        ("{urls: {API: web}}", "urls: depends on itself: web -> web"),
        ("{urls: {API: webb}}", "urls.API: there is no service 'webb'; did you mean 'web'?"),
        ("{urls: {PORT: web}}", "urls.PORT: is set by Cloud Run itself and cannot be given"),
        ("{health: {status: []}}", "health.status: must have at least 1 item"),
        ("{health: {status: [99]}}", "health.status[0]: must be greater than or equal to 100"),
        ("{health: {path: /healthz}}", "health.path: is kept by Google: paths that end in z"),
        ("{health: {path: '/readyz?full=1'}}", "health.path: is kept by Google: paths that end in z"),
        ("{health: {path: /_ah/health}}", "health.path: is kept by Google"),
        ("{health: {path: /eventlog}}", "health.path: is kept by Google"),
        ("{health: {path: healthz}}", "health.path: must be a path that starts with /"),
        ("{health: {backoff_min: 1m}}", "health.backoff_min: must not be longer than backoff_max"),
        (
            "{health: {tries: 20, timeout: 5m}}",
            "health: 20 tries of 300 s and the waits between them may take 6510 s, but environments.staging.timeouts."
            "prove allows 1800 s",
        ),
        ("{health: ok}", "health: must be a mapping of keys to values"),
        ("{build: {machine_type: e2-highcpu-8}}", "build.machine_type: must be a Cloud Build machine type"),
        ("{service_account: 'a b'}", "service_account: must be a service account"),
        ("{nme: other}", "nme: unknown key; did you mean 'name'?"),
        ("[]", "must be a mapping of keys to values"),
    ],
)
def test_a_wrong_setting_of_a_service_is_explained(service: str, said: str) -> None:
    (problem,) = problems(SMALL.replace("web:", f"web: {service}"))
    assert problem.startswith(f"slipway.yaml:3: services.web.{said}" if said[:5] != "must " else "slipway.yaml:3: ")
    assert said in problem


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("strategy: canary", "strategy: must be direct, blue_green or {canary: [5, 25, 50], bake: 5m}"),
        ("strategy: {canary: []}", "strategy.canary: must have at least 1 item"),
        ("strategy: {canary: [5, 100]}", "strategy.canary[1]: must be less than or equal to 99"),
        ("strategy: {canary: [5, 5]}", "strategy.canary: must increase from step to step"),
        ("strategy: {canary: [5], bakes: 1m}", "strategy.bakes: unknown key; did you mean 'bake'?"),
        ("approval: maybe", "approval: must be 'none', 'required' or 'another'"),
        ("approval: required, approval_timeout: 7d", "approval_timeout: must not be longer than timeouts.total"),
        ("approval: another, approval_timeout: 7d", "approval_timeout: must not be longer than timeouts.total"),
        ("accepts: []", "accepts: must have at least 1 item"),
        ("accepts: [latest]", "accepts[0]: must be 'release', 'prerelease' or 'development'"),
        ("on_inconclusive: promote", "on_inconclusive: must be 'probe', 'wait', 'pause' or 'rollback'"),
        ("waves: [[europe-west1, us-central1]]", "waves: must have each region once: europe-west1"),
        ("waves: []", "waves: must have each region once: europe-west1"),
        ("bucket: gs://x", "bucket: must be the name of a bucket, without gs://"),
        ("freeze: [{from: 2026-01-02, to: 2026-01-01}]", "freeze[0]: must end after it begins"),
        ("freeze: [{from: soon, to: 2026-01-01}]", "freeze[0].from: must be a date like 2026-12-20"),
        ("freeze: [{from: 20200101, to: 2026-01-01}]", "freeze[0].from: must be a date like 2026-12-20"),
        ("freeze: [{from: '20200101', to: 2026-01-01}]", "freeze[0].from: must be a date like 2026-12-20"),
        ("freeze: [{from: 2020-01-01, to: 2027}]", "freeze[0].to: must be a date like 2026-12-20"),
        ("freeze: [{from: 2020-01-01, to: 1.5}]", "freeze[0].to: must be a date like 2026-12-20"),
        ("freeze: [{from: 2026-13-01, to: 2027-01-01}]", "freeze[0].from: must be a valid datetime or date"),
        ("waves: europe-west1", "waves: must be a list, like [a, b]"),
        ("freeze: weekends", "freeze: must be a list, like [a, b]"),
        ("freeze: [{from: 2026-01-01}]", "freeze[0].to: is missing"),
        ("freeze: [{cron: '* * *', duration: 1h}]", "freeze[0].cron: must be a cron expression like '0 18 * * FRI'"),
        ("freeze: [{cron: '61 * * * *', duration: 1h}]", "freeze[0].cron: must be a cron expression"),
        ("freeze: [{cron: 0 16 * * FRIDAY, duration: 1h}]", "freeze[0].cron: must be a cron expression"),
        ("freeze: [{cron: 0 0 16 * * FRI, duration: 1h}]", "freeze[0].cron: must be a cron expression"),
        ("freeze: [{cron: '', duration: 1h}]", "freeze[0].cron: must be a cron expression"),
        ("freeze: [{cron: 0 16 * * FRI, duration: 0}]", "freeze[0].duration: must be from 1m to 366d"),
        ("freeze: [{from: 2026-01-01, to: 2026-01-01}]", "freeze[0]: must end after it begins"),
        ("freeze: [{cron: 0 0 * * *, duration: 1h, timezone: Berlin}]", "freeze[0].timezone: must be a time zone"),
        ("freeze: [{cron: 0 0 * * *, duration: 1h, timezone: Europe}]", "freeze[0].timezone: must be a time zone"),
        ("freeze: [{cron: 0 0 * * *, duration: 1h, timezone: Mars}]", "freeze[0].timezone: must be a time zone"),
        ("freeze: [{cron: 0 0 * * *, duration: 1h, timezone: ../x}]", "freeze[0].timezone: must be a time zone"),
        ("before: [{name: a}]", "before[0].http: is missing"),
        ("before: [{name: a, http: {url: 'ftp://x'}}]", "before[0].http.url: must be an http:// or https:// address"),
        ("after: [{name: a, job: {name: a, timout: 1m}}]", "after[0].job.timout: unknown key; did you mean 'timeout'?"),
        ("slo: {max_error_rate: 1.5}", "slo.max_error_rate: must be less than or equal to 1"),
        ("services: {web: {source: x}}", "services.web.source: unknown key"),
        ("services: {web: {secrets: {A: a}, env: {A: a}}}", "services.web.secrets.A: A is in env too"),
        ("services: {wbe: {}}", "services.wbe: there is no service 'wbe'; did you mean 'web'?"),
    ],
)
def test_a_wrong_setting_of_an_environment_is_explained(setting: str, said: str) -> None:
    (problem,) = problems(SMALL.replace("]}", f"], {setting}}}"))
    assert problem.startswith(f"slipway.yaml:5: environments.staging.{said}")


@pytest.mark.parametrize("project", ["example.com:shop-prod", "google.com:x"])
def test_the_project_of_a_domain_is_refused_as_what_it_is(project: str) -> None:
    (problem,) = problems(SMALL.replace("acme-staging", f"'{project}'"))
    assert "environments.staging.project: is the project of a domain; such projects (example.com:shop) are" in problem


def test_an_environments_variable_may_not_hide_the_url_of_a_dependency() -> None:
    text = SMALL.replace("web:", "web: {depends_on: [api]}\n  api:").replace("west1]}", "west1], env: {API_URL: x}}")
    assert problems(text) == [
        "slipway.yaml:6: environments.staging.env.API_URL: API_URL is set to the URL of 'api', as depends_on asks"
    ]


def test_a_name_without_room_for_a_traffic_tag_is_refused() -> None:
    (problem,) = problems(SMALL.replace("shop", "a-very-long-name-for-a-little-web-shop"))
    assert problem.startswith(
        "slipway.yaml:3: services.web: the Cloud Run service a-very-long-name-for-a-little-web-shop-web"
    )


def test_the_value_of_a_variable_is_never_shown() -> None:
    text = SMALL.replace("web:", "web: {env: {PASSWORD: [s3cret]}, secrets: {KEY: {s3cret: 1}}}")
    assert "s3cret" not in "".join(problems(text))


def test_problems_in_the_wrong_order_of_size_do_not_hide_each_other() -> None:
    found = problems("services: {a: {depends_on: [{}]}}\nenvironments: 5\napp: [1]\n")
    assert [line.split(": ", 1)[1] for line in found] == [
        "services.a.depends_on[0]: must be text; put it in quotes",
        "environments: must be a mapping of keys to values",
        "app: must be text; put it in quotes",
    ]


@given(st.lists(st.tuples(st.integers(0), ANYTHING), min_size=1, max_size=3))
@example([(1, {"<name>": {"<other>": 1}, "<job>": 2})])
def test_no_document_ends_in_anything_but_a_manifest_or_a_manifest_error(changes: list[tuple[int, object]]) -> None:
    document: Any = yaml.safe_load(FULL)
    for where, value in changes:
        places = list(_places(document))
        parent, key = places[where % len(places)]
        parent[key] = value
    try:
        parse_manifest(yaml.safe_dump(document))
    except ManifestError as error:
        assert re.match(r"slipway\.yaml has (a problem|\d+ problems):\n  slipway\.yaml:\d+: ", error.problem)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every value inside a document, as what it is in and where there."""
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from _places(node[key])


def test_port_is_a_name_like_any_other_where_cloud_run_sets_none() -> None:
    settings = "{build: {args: {PORT: '3000'}}, sidecars: {proxy: {image: nginx, env: {PORT: '81'}}}}"
    web = parse_manifest(SMALL.replace("web:", f"web: {settings}")).services["web"]
    assert (web.build.args, web.sidecars["proxy"].env) == ({"PORT": "3000"}, {"PORT": "81"})

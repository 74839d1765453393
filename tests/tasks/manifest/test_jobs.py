"""What slipway.yaml may say about jobs, and what is wrong with it."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tasks.failures.errors import ManifestError
from tasks.manifest.loading import parse_manifest
from tasks.manifest.manifest import Manifest

FILE = """
app: shop
services:
  api: {env: {LEVEL: info}}
  web: {}
jobs:
  migrate: JOB
environments:
  test: {project: acme-test, regions: [europe-west1, us-central1], ENVIRONMENT}
"""


def parsed(job: str = "{service: api}", environment: str = "env: {}") -> Manifest:
    return parse_manifest(FILE.replace("JOB", job).replace("ENVIRONMENT", environment))


@pytest.mark.parametrize(
    ("job", "key", "said"),
    [
        ("{}", "jobs.migrate", "must say whose image it runs with service, or have a source or an image: api, web"),
        ("{service: apo}", "jobs.migrate.service", "no service 'apo'; did you mean 'api'?"),
        ("{service: api, source: jobs}", "jobs.migrate.service", "must not be there with a source"),
        ("{service: api, dockerfile: Other}", "jobs.migrate.dockerfile", "source of its own"),
        ("{service: api, cpu: 0.5}", "jobs.migrate.cpu", "must be 1, 2, 4, 6 or 8"),
        ("{service: api, memory: 256Mi}", "jobs.migrate.memory", "at least 512Mi"),
        ("{service: api, cpu: 1, memory: 8Gi}", "jobs.migrate.memory", "from 128Mi to 4Gi"),
        ("{service: api, max_retries: 11}", "jobs.migrate.max_retries", "less than or equal to 10"),
        ("{service: api, tasks: 0}", "jobs.migrate.tasks", "greater than or equal to 1"),
        ("{service: api, timeout: 8d}", "jobs.migrate.timeout", "7d"),
        ("{service: api, port: 8080}", "jobs.migrate.port", "unknown key"),
        ("{service: api, env: {A: b}, secrets: {A: c}}", "jobs.migrate.secrets.A", "one source"),
        (f"{{service: api, name: {'a' * 51}}}", "jobs.migrate", "50 are possible"),
        ("{service: api, vpc: {subnet: {us-central1: a}}}", "environments.test", "names none for europe-west1"),
    ],
)
def test_what_is_wrong_with_a_job_is_said_with_its_place(job: str, key: str, said: str) -> None:
    with pytest.raises(ManifestError) as refused:
        parsed(job)
    assert f"{key}:" in refused.value.problem
    assert said in refused.value.problem


@pytest.mark.parametrize(
    ("environment", "key", "said"),
    [
        ("jobs: {migrat: {}}", "environments.test.jobs.migrat", "no job 'migrat'; did you mean 'migrate'?"),
        ("jobs: {migrate: {cpu: 3}}", "environments.test.jobs.migrate.cpu", "must be 1, 2, 4, 6 or 8"),
        (
            "before: [{name: m, job: {name: migrate, region: us-central1}}]",
            "environments.test.before[0].job.region",
            "jobs.migrate says where it is",
        ),
    ],
)
def test_what_an_environment_makes_wrong_with_a_job_is_said_there(environment: str, key: str, said: str) -> None:
    with pytest.raises(ManifestError) as refused:
        parsed(environment=environment)
    assert f"{key}:" in refused.value.problem
    assert said in refused.value.problem


def test_an_environment_says_what_differs_there() -> None:
    job = "{service: api, env: {LEVEL: info, MODE: a}, secrets: {KEY: key}, timeout: 5m, labels: {team: a}}"
    own = "jobs: {migrate: {env: {KEY: plain}, secrets: {MODE: mode}, timeout: 1h, labels: {more: b}}}"
    found = parsed(job, f"env: {{LEVEL: warn, PLACE: here}}, service_account: runner, {own}").job_in("test", "migrate")
    assert found.env == {"LEVEL": "warn", "PLACE": "here", "KEY": "plain"}
    assert {name: str(ref) for name, ref in found.secrets.items()} == {"MODE": "mode"}
    assert (found.timeout_s, found.labels) == (3600, {"team": "a", "more": "b"})
    assert found.service_account == "runner@acme-test.iam.gserviceaccount.com"


def test_a_job_runs_the_image_of_a_service_or_one_of_its_own() -> None:
    assert image_of(parsed()) == "api"
    assert image_of(parsed("{source: jobs/migrate}")) == "migrate"
    alone = "app: a\nservices: {web: {}}\njobs: {tidy: {}}\nenvironments: {t: {project: acme-test, regions: r-r1}}"
    assert image_of(parse_manifest(alone)) == "web"


def image_of(manifest: Manifest) -> str:
    (job,) = manifest.jobs.values()
    return manifest.image_of(job)


def test_records_keep_no_values_of_a_jobs_variables() -> None:
    kept = parsed("{service: api, env: {A: hidden}}", "jobs: {migrate: {env: {B: hidden}}}").without_values()
    assert "hidden" not in str(kept)
    assert Manifest.model_validate(kept).jobs["migrate"].service == "api"


def test_records_keep_no_values_of_sidecars_nor_of_what_probes_send() -> None:
    secret = "{http: /up, headers: {Authorization: hidden}}"
    text = f"""
        app: shop
        services:
          web: {{startup_probe: {secret}, sidecars: {{p: {{image: p, env: {{T: hidden}}, startup_probe: {secret}}}}}}}
        environments:
          test:
            project: acme-test
            regions: europe-west1
            services: {{web: {{liveness_probe: {secret}, sidecars: {{p: {{image: p, env: {{T: hidden}}}}, q: null}}}}}}
        """
    kept = parse_manifest(dedent(text)).without_values()
    assert "hidden" not in str(kept)
    assert Manifest.model_validate(kept).services["web"].sidecars["p"].image == "p"

"""One more environment in a slipway.yaml that is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings

from tasks.describe.adopt.add import add
from tasks.describe.adopt.adopt import adopt
from tasks.describe.adopt.together import Target
from tasks.drift.compare import compare
from tasks.failures.errors import ManifestError, ParameterError
from tasks.manifest.loading import judge
from tasks.manifest.manifest import Manifest
from tests.tasks.describe.adopt.test_together import IMAGE, REGION, seen
from tests.tasks.rollout.services import Body, sent, services

TARGET = Target("production", "acme-prod", (REGION,))
FORMER = """\
# ours
app: shop
services:
  api:      # the api
    source: api
    memory: 1Gi
    env: {LEVEL: debug, ONLY_STAGING: "1"}
    startup_probe: {http: /up}   # slow
  web:
    source: web
environments:
  staging:
    project: acme-staging
    regions: [europe-west1]
    env: {A: b}

  # the last line
retention: {keep: 3}
"""


def added(former: str, *found: Any) -> tuple[str, Manifest]:
    text = add(former, "slipway.yaml", "shop", TARGET, found).text
    judged = judge(text)
    assert judged.manifest is not None, judged.faults
    return text, judged.manifest


def test_lines_are_put_in_and_none_is_touched() -> None:
    text, _ = added(FORMER, seen("shop-api"))
    lines = iter(text.splitlines())
    assert all(line in lines for line in FORMER.splitlines())  # all of them, in their order


def test_only_what_differs_is_said_and_what_is_not_there_is_null() -> None:
    env = [{"name": "LEVEL", "value": "info"}, {"name": "NEW", "value": "x"}]
    limits = {"resources": {"limits": {"memory": "1Gi"}, "cpuIdle": True, "startupCpuBoost": True}}
    text, manifest = added(FORMER, seen("shop-api", container={"env": env, **limits}, template={"timeout": "60s"}))
    own = yaml.safe_load(text)["environments"]["production"]["services"]["api"]
    assert own == {
        "timeout": "1m", "startup_probe": None, "env": {"LEVEL": "info", "NEW": "x", "ONLY_STAGING": None},
    }  # fmt: skip
    there = manifest.service_in("production", "api")
    assert (there.env, there.startup_probe, there.memory) == ({"LEVEL": "info", "NEW": "x"}, None, "1Gi")
    assert manifest.service_in("staging", "api").startup_probe is not None
    assert "# web is not there: the first release makes it." in text


def test_a_service_that_it_does_not_have_is_added_to_all() -> None:
    text, manifest = added(FORMER, seen("shop-api"), seen("orders-prod"))
    assert manifest.services["orders"].image == IMAGE
    assert "# DECIDE whether it is to be in staging too: releases make it there." in text
    assert manifest.environments["production"].services["orders"].run_name == "orders-prod"


def test_services_are_known_by_the_names_that_they_have_in_cloud_run() -> None:
    former = FORMER.replace("    source: web\n", "    source: web\n    name: frontend\n")
    text, manifest = added(former, seen("frontend"))
    assert list(manifest.services) == ["api", "web"]
    assert "frontend" not in yaml.safe_dump(yaml.safe_load(text)["environments"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("app: shop", "app: other"), "describes the app other, not shop"),
        (("staging:", "production:"), "has an environment production already"),
        (("memory: 1Gi", "memory: lots"), "services.api.memory"),
        (("environments:\n  staging:\n    project: acme-staging\n    regions: [europe-west1]\n    env: {A: b}\n",
          "environments: {staging: {project: acme-staging, regions: [europe-west1]}}\n"), "written on one line"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(change: tuple[str, str], said: str) -> None:
    with pytest.raises((ParameterError, ManifestError), match=said):
        added(FORMER.replace(*change), seen("shop-api"))


@pytest.mark.parametrize("end", ["", "\n", "\n\n# end\n"])
def test_a_file_may_end_as_it_likes(end: str) -> None:
    former = "app: shop\nservices:\n    api:\n        source: api\nenvironments:\n    staging:"
    _, manifest = added(
        f"{former}\n        project: acme-staging\n        regions:\n        - europe-west1{end}", seen("shop-api")
    )
    assert list(manifest.environments) == ["staging", "production"]


@settings(max_examples=25)
@example({"iap": True}, {"default_url": False})
@given(services(), services())
def test_each_environment_has_what_was_found_in_it(one: Body, other: Body) -> None:
    def at(project: str, said: Body) -> Any:
        return [replace(seen("shop-web", body=sent(said)), project=project)]

    staging = adopt("shop", Target("staging", "acme-prod", (REGION,)), at("acme-prod", one))
    target = Target("production", "acme-next", (REGION,))
    judged = judge(add(staging.text, "slipway.yaml", "shop", target, at("acme-next", other)).text)
    assert judged.manifest is not None
    for environment, wanted in (("staging", one), ("production", other)):
        service = judged.manifest.service_in(environment, "web")
        said = service.model_dump(mode="json", by_alias=True, exclude_unset=True)
        said = {key: value for key, value in said.items() if not key.startswith("<") and key not in _NOT_SENT}
        assert compare(sent(wanted), sent({**said, "health": {}})) == ()


_NOT_SENT = {"image", "name", "health", "public", "source"}

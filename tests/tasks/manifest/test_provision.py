"""What slipway.yaml may say under provision, and what is wrong with it."""

from __future__ import annotations

import pytest

from tasks.failures.errors import ManifestError
from tasks.manifest.loading import parse_manifest
from tasks.manifest.manifest import Manifest

FILE = """
app: shop
services: {web: {}}
environments:
  test: {project: acme-test, regions: [REGION], provision: SAID}
  other:
    project: acme-test
    regions: [europe-west1]
    services: {web: {name: other-web}}
    provision: {secrets: {taken: }}
"""


def parsed(said: str, region: str = "europe-west1") -> Manifest:
    return parse_manifest(FILE.replace("SAID", said).replace("REGION", region))


@pytest.mark.parametrize(
    ("said", "key", "told"),
    [
        ("{accounts: {x: }}", "accounts.x", "6 to 30"),
        ("{accounts: {shop-api: {roles: [invoker]}}}", "accounts.shop-api.roles[0]", "a role, like roles/run.invoker"),
        ("{roles: {someone: [roles/viewer], a b: [roles/viewer]}}", "roles.a b", "a service account"),
        ("{secrets: {taken: }}", "secrets.taken", "is made by the environment test already"),
        (
            "{secrets: {shop-test-api-key: }, gateway: {openapi: a.yaml, api_key: true, service_account: shop-api}}",
            "secrets",
            "shop-test-api-key is made already: the gateway's key is kept in it",
        ),
        ("{buckets: {up: {name: acme-test-slipway}}}", "buckets.up", "holds Slipway's own records"),
        (f"{{buckets: {{{'u' * 50}: }}}}", f"buckets.{'u' * 50}", "give it a `name`"),
        ("{gateway: {openapi: ../a.yaml}}", "gateway.openapi", "inside the repository"),
        ("{gateway: {openapi: a.yaml}}", "gateway", "must say with service_account"),
        ("{apis: [pubsub]}", "apis[0]", "an API, like pubsub.googleapis.com"),
        ("{adopt: all}", "adopt", "'ask', 'own' or 'never'"),
        ("{timeouts: {apply: 2d}}", "timeouts.apply", "from 10s to 24h"),
        ("{gatway: {}}", "gatway", "did you mean 'gateway'?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(said: str, key: str, told: str) -> None:
    with pytest.raises(ManifestError) as refused:
        parsed(said)
    assert f"provision.{key}:" in refused.value.problem
    assert told in refused.value.problem


def test_there_are_gateways_in_some_regions_only() -> None:
    gateway = "{gateway: {openapi: a.yaml, service_account: caller@x.iam.gserviceaccount.com MORE}}"
    with pytest.raises(ManifestError, match="there is no API Gateway in europe-north1"):
        parsed(gateway.replace("MORE", ""), "europe-north1")
    assert parsed(gateway.replace(" MORE", ", region: europe-west1"), "europe-north1").environment("test").provision


def test_where_nothing_is_said_time_is_short_for_init_and_long_for_apply() -> None:
    said = parsed("{}").environment("test").provision
    assert said is not None
    assert (said.timeouts.init_s, said.timeouts.apply_s, said.adopt) == (300, 2400, "own")

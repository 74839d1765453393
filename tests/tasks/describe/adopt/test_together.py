"""What was seen of services in some regions, in the words of slipway.yaml."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tasks.describe.adopt.adopt import adopt
from tasks.describe.adopt.seen import Seen
from tasks.describe.adopt.together import Target, environment_of
from tasks.failures.errors import ManifestError
from tasks.manifest.loading import judge
from tasks.manifest.manifest import Manifest

PROJECT, REGION = "acme-prod", "europe-west1"
IMAGE = "europe-west1-docker.pkg.dev/acme-prod/shop/api:v1"
HERE = Target("production", PROJECT, (REGION,))


def seen(name: str, region: str = REGION, **more: Any) -> Seen:
    """A service; `container` and `template` have their further fields, the rest is the Seen's."""
    container = {"image": IMAGE, "resources": {"cpuIdle": True, "startupCpuBoost": True}, **more.pop("container", {})}
    template = {"containers": [container], **more.pop("template", {})}
    return Seen(name, region, {"template": template, **more.pop("body", {})}, PROJECT, **more)


def written(*found: Seen, app: str = "shop", target: Target = HERE) -> tuple[str, Manifest]:
    text = adopt(app, target, found).text
    judged = judge(text)
    assert judged.manifest is not None, judged.faults
    return text, judged.manifest


def said(text: str) -> Any:
    return yaml.safe_load(text)["services"]


@pytest.mark.parametrize(
    ("project", "environment"),
    [
        ("acme-prod", "production"),
        ("acme-staging-1", "staging"),
        ("dev-shop", "development"),
        ("my-product", "production"),
        ("", "production"),
    ],
)
def test_an_environment_is_called_after_its_project(project: str, environment: str) -> None:
    assert environment_of(project) == environment


@pytest.mark.parametrize(
    ("name", "key", "given", "here"),
    [
        ("shop-api", "api", None, None),
        ("orders", "orders", "orders", None),
        ("shop", "web", "shop", None),
        ("shop-api-prod", "api", None, "shop-api-prod"),
        ("prod-orders-api", "orders-api", None, "prod-orders-api"),
    ],
)
def test_a_service_has_a_short_key_and_keeps_its_name(name: str, key: str, given: str | None, here: str | None) -> None:
    text, manifest = written(seen(name))
    assert list(manifest.services) == [key]
    assert manifest.services[key].run_name == given
    own = yaml.safe_load(text)["environments"]["production"].get("services", {})
    assert own.get(key, {}).get("name") == here


def test_services_whose_keys_would_be_the_same_have_different_ones() -> None:
    text, manifest = written(seen("shop-api"), seen("api"))
    assert list(manifest.services) == ["api", "api-2"]
    assert said(text)["api-2"]["name"] == "api"


def test_the_least_is_said_and_the_rest_is_for_a_person_to_decide() -> None:
    text, _ = written(seen("shop-api", public=True))
    assert said(text) == {"api": {"image": IMAGE, "public": True}}
    assert "# DECIDE image: with `source: FOLDER`" in text
    assert "# DECIDE health: {path: /health}" in text


def test_who_may_call_is_named_so_that_it_fits_other_projects_and_is_said_of_all_regions_alone() -> None:
    ours, ada, bob = (
        "serviceAccount:frontend@acme-prod.iam.gserviceaccount.com",
        "user:ada@acme.com",
        "user:bob@acme.com",
    )
    text, manifest = written(
        seen("shop-api", invokers=(ours, ada)),
        seen("shop-api", "us-east1", invokers=(bob, ours)),
        target=Target("production", PROJECT, (REGION, "us-east1")),
    )
    assert said(text)["api"]["invokers"] == ["serviceAccount:frontend"]
    assert manifest.service_in("production", "api").invokers == (ours,)
    assert f"# DECIDE invokers: in {REGION} alone {ada} may call it too; that stays." in text
    assert f"in us-east1 alone {bob} may call it too" in text


def test_what_cloud_run_asks_the_container_is_what_a_release_asks() -> None:
    probe = {"startupProbe": {"httpGet": {"path": "/ready"}}}
    text, _ = written(seen("shop-api", container=probe))
    assert said(text)["api"]["health"] == {"path": "/ready"}
    reserved = {"startupProbe": {"httpGet": {"path": "/healthz"}}, "livenessProbe": {"httpGet": {"path": "/live"}}}
    text, _ = written(seen("shop-api", container=reserved))
    assert said(text)["api"]["health"] == {"path": "/live"}


def test_an_account_of_the_project_is_named_so_that_it_fits_other_projects_too() -> None:
    text, _ = written(
        seen("a", template={"serviceAccount": "runner@acme-prod.iam.gserviceaccount.com"}),
        seen("b", template={"serviceAccount": "runner@acme-other.iam.gserviceaccount.com"}),
        seen("c", template={"serviceAccount": "abc@acme-prod.iam.gserviceaccount.com"}),
    )
    accounts = [each["service_account"] for each in said(text).values()]
    assert accounts == [
        "runner", "runner@acme-other.iam.gserviceaccount.com", "abc@acme-prod.iam.gserviceaccount.com",
    ]  # fmt: skip


def test_values_that_look_like_secrets_are_not_written() -> None:
    hidden = "postgres://shop:hunter2hunter2@db/shop"
    env = [
        {"name": "API_TOKEN", "value": "0123456789abcdef"},
        {"name": "DB", "value": hidden},
        {"name": "A", "value": "1"},
    ]
    sidecar = {"name": "proxy", "image": "x", "env": env[:1]}
    found = seen("shop-api", container={"env": env, "ports": [{"containerPort": 8080}]})
    found.body["template"]["containers"].append(sidecar)
    text, _ = written(found)
    assert said(text)["api"]["env"] == {"A": "1"}
    assert "0123456789abcdef" not in text
    assert "hunter2" not in text
    assert "# DECIDE secrets: API_TOKEN, DB of env" in text
    assert "# DECIDE secrets: API_TOKEN of sidecars.proxy.env" in text


def test_connectors_and_subnets_are_said_by_region_and_other_differences_are_told() -> None:
    def at(region: str, memory: str) -> Seen:
        network = {"networkInterfaces": [{"network": "n", "subnetwork": f"s-{region}"}]}
        limits = {"resources": {"limits": {"memory": memory}, "cpuIdle": True, "startupCpuBoost": True}}
        return seen("shop-api", region, template={"vpcAccess": network}, container=limits)

    regions = (REGION, "us-central1", "asia-east1")
    text, manifest = written(*(at(region, "1Gi" if region == REGION else "2Gi") for region in regions),
                             target=Target("production", PROJECT, (*regions, "us-west1")[:3]))  # fmt: skip
    assert said(text)["api"]["vpc"] == {"network": "n", "subnet": {region: f"s-{region}" for region in regions}}
    assert manifest.environments["production"].regions == regions
    assert "# DECIDE memory: 2Gi in us-central1, 1Gi in europe-west1; a release makes us-central1 as" in text


def test_a_service_that_is_not_in_every_region_is_told() -> None:
    text, _ = written(seen("shop-api"), target=Target("production", PROJECT, (REGION, "us-central1")))
    assert "# DECIDE whether it is to be in us-central1 too: it is only in europe-west1." in text


def test_what_slipway_yaml_cannot_say_is_kept_and_told() -> None:
    text, _ = written(seen("shop-api", template={"serviceMesh": {"mesh": "m"}}))
    assert "# slipway.yaml cannot say template.serviceMesh.mesh (m); releases leave it as it is." in text


def test_a_service_that_not_everybody_reaches_is_proven_by_another_way() -> None:
    text, _ = written(seen("shop-api", body={"defaultUriDisabled": True}))
    assert said(text)["api"]["default_url"] is False
    assert "# DECIDE health.url, which is not known here" in text
    text, _ = written(seen("shop-api", body={"iapEnabled": True}))
    assert said(text)["api"]["iap"] is True
    assert "# DECIDE health.audience, which is not known here" in text


def test_an_image_that_cloud_run_does_not_take_is_to_be_built() -> None:
    text, manifest = written(seen("shop-api", container={"image": "ghcr.io/acme/api:v1"}))
    assert manifest.services["api"].source == "."
    assert (
        "# DECIDE source: the folder to build from; its image, ghcr.io/acme/api:v1, is in the registry ghcr.io" in text
    )


def test_what_it_refuses_is_told_instead_of_written() -> None:
    slow = {"tcpSocket": {}, "periodSeconds": 240, "failureThreshold": 100}
    env = [{"name": f"V{number}", "value": "x"} for number in range(3)]
    text, _ = written(seen("shop-api", container={"startupProbe": slow, "env": env}))
    assert "startup_probe" not in said(text)["api"]
    assert "# startup_probe is not written here (times period must be at most 1800s, the time to start)" in text
    assert len(said(text)["api"]["env"]) == 3
    side = {"name": "proxy", "image": "x", "livenessProbe": {"tcpSocket": {}}}
    found = seen("shop-api", container={"ports": [{"containerPort": 8080}]})
    found.body["template"]["containers"].append(side)
    text, _ = written(found)
    assert said(text)["api"]["sidecars"] == {"proxy": {"image": "x"}}
    assert "# sidecars.proxy.liveness_probe is not written here" in text


def test_an_app_whose_name_is_none_is_refused() -> None:
    with pytest.raises(ManifestError, match="app: must be"):
        adopt("No Name", HERE, [seen("api")])


@pytest.mark.parametrize(
    "value",
    ["on", "1.5", "12:30", "a: b", "# no", "", " x ", "multi\nline", "'q' \"p\"", "é", "null", "0x1f", "- a", "{x}"],
)
def test_whatever_a_variable_holds_is_read_again_as_it_was(value: str) -> None:
    _, manifest = written(seen("shop-api", container={"env": [{"name": "A", "value": value}], "args": [value or "x"]}))
    assert manifest.services["api"].env == {"A": value}
    assert manifest.services["api"].args == (value or "x",)


@pytest.mark.parametrize("length", [42, 43, 45, 46, 49])
def test_a_service_keeps_a_name_of_any_length_that_cloud_run_allows(length: int) -> None:
    """One that leaves no room for a tag is asked at its own URL, as no revision of it has any."""
    name, uri = "orders-" + "x" * (length - 7), "https://orders-0123456789-ew.a.run.app"
    text, manifest = written(seen(name, body={"uri": uri}))
    assert manifest.renamed("production", next(iter(manifest.services))) == name
    assert (f"url: {uri}" in text) is (length >= 46)

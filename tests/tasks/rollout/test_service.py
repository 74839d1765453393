"""The Cloud Run service that a release asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tasks.manifest.values import SecretRef
from tasks.rollout.service import Base, desired, said_before
from tasks.spec.bare import bare
from tests.tasks.builders import MANIFEST, a_request, a_version, an_image

SECRETS = {SecretRef("key"): 3, SecretRef("old", 7): 7}


def test_a_new_service_is_asked_for_as_slipway_yaml_says_and_no_more() -> None:
    found = desired(a_request(), a_version(), an_image(), {}, SECRETS)
    assert found.template["serviceAccount"] == "runner@acme-prod.iam.gserviceaccount.com"
    assert found.template["containers"] == [
        {
            "image": f"europe-west1-docker.pkg.dev/acme-prod/shop/api@sha256:{'a' * 64}",
            "ports": [{"containerPort": 9000}],
            "resources": {"limits": {"memory": "1Gi"}, "cpuIdle": True, "startupCpuBoost": True},
            "env": [
                {"name": "LEVEL", "value": "info"},
                {"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": "3"}}},
                {"name": "OLD", "valueSource": {"secretKeyRef": {"secret": "old", "version": "7"}}},
            ],
        }
    ]
    assert found.template.keys() == {"serviceAccount", "containers", "labels", "annotations"}
    assert set(said_before(found.template) or ()) == {
        "serviceAccount", "containers[].image", "containers[].ports.containerPort",
        "containers[].resources.limits[memory]", "containers[].env[LEVEL]", "containers[].env[KEY]",
        "containers[].env[OLD]",
    }  # fmt: skip


THEIRS: dict[str, Any] = {
    "labels": {"team": "web"},
    "annotations": {"note": "ours"},
    "containers": [
        {
            "image": "europe-west1-docker.pkg.dev/acme-prod/shop/api:old",
            "ports": [{"containerPort": 8080, "name": "h2c"}],
            "resources": {"limits": {"cpu": "2", "memory": "2Gi"}, "startupCpuBoost": False},
            "env": [{"name": "THEIRS", "value": "1"}, {"name": "LEVEL", "value": "debug"}],
            "volumeMounts": [{"name": "cloudsql", "mountPath": "/cloudsql"}],
        },
        {"name": "proxy", "image": "proxy:1", "env": [{"name": "LEVEL", "value": "warn"}]},
    ],
    "volumes": [{"name": "cloudsql", "cloudSqlInstance": {"instances": ["acme-prod:europe-west1:main"]}}],
    "vpcAccess": {"connector": "projects/acme-prod/locations/europe-west1/connectors/main"},
    "sessionAffinity": True,
}


def test_over_somebody_elses_service_all_is_kept_that_slipway_yaml_does_not_say() -> None:
    found = desired(a_request(), a_version(), an_image(), {}, SECRETS, Base(THEIRS))
    container, proxy = found.template["containers"]
    assert (proxy, container["volumeMounts"]) == (THEIRS["containers"][1], THEIRS["containers"][0]["volumeMounts"])
    assert container["ports"] == [{"containerPort": 9000, "name": "h2c"}]
    assert container["resources"] == {"limits": {"cpu": "2", "memory": "1Gi"}, "startupCpuBoost": False}
    assert [each.get("value") for each in container["env"]] == ["1", "info", None, None]
    for kept in ("volumes", "vpcAccess", "sessionAffinity"):
        assert found.template[kept] == THEIRS[kept]
    assert found.template["labels"]["team"] == "web"
    assert found.template["annotations"]["note"] == "ours"


def test_another_setting_of_somebody_else_makes_another_revision() -> None:
    request, version = a_request(), a_version()
    others: tuple[dict[str, Any], ...] = (
        {},
        {"sessionAffinity": False},
        {"vpcAccess": {"connector": "other"}},
        {"labels": {"team": "ops"}},
    )
    names = {desired(request, version, an_image(), {}, SECRETS, Base({**THEIRS, **other})).revision for other in others}
    assert len(names) == 4


def test_what_cloud_run_writes_out_makes_no_other_revision() -> None:
    first = desired(a_request(), a_version(), an_image(), {}, SECRETS)
    container = first.template["containers"][0]
    filled = {
        **first.template,
        "revision": first.revision,
        "timeout": "300s",
        "maxInstanceRequestConcurrency": 80,
        "scaling": {"maxInstanceCount": 100},
        "containers": [
            {
                **container,
                "ports": [{"containerPort": 9000, "name": "http1"}],
                "resources": {**container["resources"], "limits": {"memory": "1Gi", "cpu": "1000m"}},
                "startupProbe": {
                    "timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": {"port": 9000},
                },
            }
        ],
    }  # fmt: skip
    again = desired(
        a_request(), a_version(), an_image(), {}, SECRETS, Base(bare(filled), said_before(filled) or frozenset())
    )
    assert again.revision == first.revision


def test_a_key_that_is_removed_goes_back_to_its_default_and_nothing_else_does() -> None:
    first = desired(a_request(), a_version(), an_image(), {}, SECRETS, Base(THEIRS))
    fewer = MANIFEST.replace("env: {LEVEL: info}, ", "").replace(", memory: 1Gi", "")
    said = said_before(first.template) or frozenset()
    container = desired(
        a_request(text=fewer), a_version(), an_image(), {}, SECRETS, Base(first.template, said)
    ).template["containers"][0]
    assert [each["name"] for each in container["env"]] == ["THEIRS", "KEY", "OLD"]
    assert container["resources"] == {"limits": {"cpu": "2"}, "startupCpuBoost": False}


def test_the_run_is_in_the_labels_but_not_in_the_name() -> None:
    request = a_request()
    again = replace(request, run_id="another")
    first, second = (desired(r, a_version(), an_image(), {}, SECRETS) for r in (request, again))
    assert first.revision == second.revision
    assert first.labels["slipway-run"] != second.labels["slipway-run"]


def test_another_image_url_or_secret_version_makes_another_revision() -> None:
    request, version = a_request(), a_version()
    names = {
        desired(request, version, an_image(), {}, SECRETS).revision,
        desired(request, version, an_image(digest="sha256:" + "b" * 64), {}, SECRETS).revision,
        desired(request, version, an_image(), {"WEB_URL": "https://web"}, SECRETS).revision,
        desired(request, version, an_image(), {}, {**SECRETS, SecretRef("key"): 4}).revision,
        desired(request, a_version("v1.4.1"), an_image(), {}, SECRETS).revision,
    }
    assert len(names) == 5


def test_what_is_deployed_is_a_digest() -> None:
    container = desired(a_request(), a_version(), an_image(), {}, SECRETS).template["containers"][0]
    assert "@sha256:" in container["image"]
    assert ":v1.4.0" not in container["image"]

"""The Cloud Run service that a release asks for."""

from __future__ import annotations

from dataclasses import replace

from tasks.manifest.values import SecretRef
from tasks.rollout.service import desired
from tests.tasks.builders import a_request, a_version, an_image

SECRETS = {SecretRef("key"): 3, SecretRef("old", 7): 7}


def test_a_service_is_asked_for_whole() -> None:
    found = desired(a_request(), a_version(), an_image(), {}, SECRETS)
    assert found.template["serviceAccount"] == "runner@acme-prod.iam.gserviceaccount.com"
    assert found.template["containers"] == [
        {
            "image": f"europe-west1-docker.pkg.dev/acme-prod/shop/api@sha256:{'a' * 64}",
            "ports": [{"containerPort": 9000}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "cpuIdle": True, "startupCpuBoost": True},
            "env": [
                {"name": "LEVEL", "value": "info"},
                {"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": "3"}}},
                {"name": "OLD", "valueSource": {"secretKeyRef": {"secret": "old", "version": "7"}}},
            ],
        }
    ]


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

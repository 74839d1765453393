"""The Cloud Run service that a release asks for, as plain data. Pure.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.manifest.settings import ServiceSettings
from tasks.manifest.values import SecretRef
from tasks.model import Image, Request, Version
from tasks.names.labels import label_value
from tasks.names.naming import config_digest, revision_name, traffic_tag


@dataclass(frozen=True, slots=True)
class Desired:
    """One service in one region as it should be: the template's name follows from everything in it."""

    revision: str
    tag: str
    template: Mapping[str, Any]
    labels: Mapping[str, str]


def desired(
    request: Request, version: Version, image: Image, urls: Mapping[str, str], secret_versions: Mapping[SecretRef, int]
) -> Desired:
    """urls: of the services this one depends on, by name. secret_versions: the number behind each reference."""
    settings = request.service(image.service)
    run_service = f"{request.app}-{image.service}"
    template = template_body(settings, image, urls, secret_versions)
    tag = traffic_tag(run_service, version.version)
    own = request.labels | {
        "slipway-version": label_value(version.version),
        "slipway-commit": version.commit[:40],
        "slipway-service": label_value(image.service),
        "slipway-tag": tag,
    }
    name = revision_name(run_service, version.version, config_digest({"template": template, "labels": own}))
    run = {"slipway-run": label_value(request.run_id)}
    return Desired(name, tag, {**template, "labels": own | run}, own | run)


def template_body(
    settings: ServiceSettings,
    image: Image,
    urls: Mapping[str, str],
    secret_versions: Mapping[SecretRef, int],
) -> dict[str, Any]:
    """Everything of the revision but its name and labels."""
    body: dict[str, Any] = {
        "containers": [_container(settings, image, urls, secret_versions)],
        "scaling": {"minInstanceCount": settings.min_instances, "maxInstanceCount": settings.max_instances},
        "maxInstanceRequestConcurrency": settings.concurrency,
        "timeout": f"{settings.timeout_s:g}s",
    }
    if settings.service_account:
        body["serviceAccount"] = settings.service_account
    return body


def _container(
    settings: ServiceSettings, image: Image, urls: Mapping[str, str], secret_versions: Mapping[SecretRef, int]
) -> dict[str, Any]:
    plain = dict(settings.env) | dict(urls)
    env: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in sorted(plain.items())]
    env += [
        {"name": name, "valueSource": {"secretKeyRef": _secret(reference, secret_versions)}}
        for name, reference in sorted(settings.secrets.items())
    ]
    return {
        "image": image.reference,
        "ports": [{"containerPort": settings.port}],
        "resources": {
            "limits": {"cpu": settings.cpu, "memory": settings.memory},
            "cpuIdle": True,  # CPU during requests only: the default, but not of a resource that states its limits
            "startupCpuBoost": True,
        },
        "env": env,
    }


def _secret(reference: SecretRef, secret_versions: Mapping[SecretRef, int]) -> dict[str, str]:
    return {"secret": reference.name, "version": str(secret_versions[reference])}

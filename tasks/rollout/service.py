"""The Cloud Run service that a release asks for, as plain data. Pure.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.manifest.settings import Health, ServiceSettings
from tasks.manifest.values import SecretRef
from tasks.model import Image, Request, Version
from tasks.names import resources
from tasks.names.labels import label_value
from tasks.names.naming import config_digest, revision_name, traffic_tag
from tasks.rollout.said import Where, said_template, said_whole
from tasks.spec.merge import leaves, merged
from tasks.spec.settings import meaning

SAYS = "slipway-says"  # the annotation of a template that holds the paths of what slipway.yaml said, as JSON
WHOLE = "service."  # before paths of what is said of the service as a whole
_MANUAL, _AUTOMATIC = ("scalingMode", "manualInstanceCount"), ("minInstanceCount", "maxInstanceCount")
# What a container is given that nobody has said anything of, as gcloud gives it to a new service: CPU during requests
# only, which is not the default of resources that state their limits, and more of it at the start; and a port, by which
# it is told from sidecars.
FRESH: Mapping[str, Any] = {
    "containers": [
        {"ports": [{"containerPort": 8080}], "resources": {"cpuIdle": True, "startupCpuBoost": True}},
    ]
}


@dataclass(frozen=True, slots=True)
class Base:
    """What a release is made over."""

    template: Mapping[str, Any]  # without what the server filled in
    said: frozenset[str] = frozenset()  # what the release that made it had said, as paths
    whole: Mapping[str, Any] = field(default_factory=dict)  # what is set of the service as a whole


@dataclass(frozen=True, slots=True)
class Desired:
    """One service in one region as it should be: the template's name follows from everything in it."""

    revision: str
    tag: str
    template: Mapping[str, Any]
    labels: Mapping[str, str]
    health: Health
    public: bool
    invokers: frozenset[str]
    whole: Mapping[str, Any]  # of the service, once the revision serves


NEW = Base(FRESH)


def desired(
    request: Request,
    version: Version,
    image: Image,
    urls: Mapping[str, str],
    secret_versions: Mapping[SecretRef, int],
    base: Base = NEW,
    region: str = "",
    tag: str | None = None,
) -> Desired:
    """urls: of the services this one depends on, by name. secret_versions: the number behind each reference.

    region: '' for the environment's first. tag: one of `traffic_tags`, '' for none; the best without it.
    """
    settings = request.service(image.service)
    where = Where(request.project, region or request.build_region)
    run_service = resources.last(request.run_service(request.place(image.service, where.region)))
    template = template_body(settings, image, urls, secret_versions, where, base)
    tag = traffic_tag(run_service, version.version) if tag is None else tag
    own = _marks(request, version, image, tag)
    run = {"slipway-run": label_value(request.run_id)}
    others = {key: text for key, text in template.pop("labels", {}).items() if key not in own | run}
    stands_for = {"template": meaning(template, request.project), "labels": others | own}
    name = revision_name(run_service, version.version, config_digest(stands_for))
    labels = others | own | run
    return Desired(
        name,
        tag,
        {**template, "labels": labels},
        own | run,
        settings.health,
        settings.public,
        frozenset(settings.invokers),
        whole_body(settings, base),
    )


def _marks(request: Request, version: Version, image: Image, tag: str) -> dict[str, str]:
    """The labels that say what of ours a revision is, but for the run that made it."""
    marks = {
        "slipway-version": label_value(version.version),
        "slipway-commit": version.commit[:40],
        "slipway-service": label_value(image.service),
    }
    return request.labels | marks | ({"slipway-tag": tag} if tag else {})


def template_body(
    settings: ServiceSettings,
    image: Image,
    urls: Mapping[str, str],
    secret_versions: Mapping[SecretRef, int],
    where: Where,
    base: Base = NEW,
) -> dict[str, Any]:
    """Everything of the revision but its name and our labels: what is said, over what is there."""
    said = said_template(settings, image, urls, secret_versions, where)
    template = without_idle_volumes(merged(base.template, base.said, said, FRESH), base.template)
    paths = [*leaves(said), *(f"{WHOLE}{path}" for path in leaves(said_whole(settings)))]
    says = json.dumps(sorted(paths), separators=(",", ":"))
    return {**template, "annotations": {**template.get("annotations", {}), SAYS: says}}


def whole_body(settings: ServiceSettings, base: Base) -> dict[str, Any]:
    """What is said of the service as a whole, over what is there."""
    return whole_over(said_whole(settings), base)


def whole_over(said: Mapping[str, Any], base: Base) -> dict[str, Any]:
    """The same of what an earlier release has said."""
    before = said_of_all(base.said)
    whole = merged(base.whole, before, said, {})
    scaling = whole.get("scaling", {})
    if "scaling" in said:  # of the other mode nothing can stay
        other = _AUTOMATIC if "manualInstanceCount" in said["scaling"] else _MANUAL
        scaling = {key: value for key, value in scaling.items() if key not in other}
    whole["scaling"] = {key: value for key, value in scaling.items() if (key, value) != ("minInstanceCount", 0)}
    return {
        key: value for key, value in whole.items() if value not in (False, "", {}, [])
    }  # as Cloud Run gives it back


def said_of_all(said: Iterable[str]) -> set[str]:
    """Those of these paths that are of the service as a whole."""
    return {path.removeprefix(WHOLE) for path in said if path.startswith(WHOLE)}


def without_idle_volumes(template: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Without volumes that a container had mounted and none has any more, as another took their place."""
    idle = mounted(base) - mounted(template)
    volumes = [each for each in template.get("volumes", ()) if each["name"] not in idle]
    rest = {key: value for key, value in template.items() if key != "volumes"}
    return {**rest, "volumes": volumes} if volumes else rest


def mounted(template: Mapping[str, Any]) -> set[str]:
    """The names of the volumes that containers see."""
    mounts = (mount for each in template.get("containers", ()) for mount in each.get("volumeMounts", ()))
    return {mount["name"] for mount in mounts}


def said_before(template: Mapping[str, Any]) -> frozenset[str] | None:
    """What slipway.yaml said of a template, as paths; None where it does not tell."""
    says = template.get("annotations", {}).get(SAYS)
    return None if says is None else frozenset(json.loads(says))

"""What a release is made over: the service as others and earlier releases have left it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from infra.gcp.run.services import RunService
from tasks.history.masking import masked
from tasks.history.record import ReleaseRecord
from tasks.model import Place
from tasks.names.labels import MANAGED_BY, label_value
from tasks.names.references import PLACEHOLDER_IMAGE, ImageReference
from tasks.rollout.service import NEW, Base, said_before
from tasks.spec.bare import bare
from tasks.spec.merge import leaves


def base_of(service: RunService, told: frozenset[str] = frozenset()) -> Base:
    """The service's template; nothing where it is the placeholder that a release had made.

    told: what records tell was said of a template that does not say so itself, being of an earlier Slipway.
    """
    template = template_of(service)
    if is_own_placeholder(template):
        return replace(NEW, whole=service.whole)
    said = said_before(template)
    return Base(bare(template), told if said is None else said, service.whole)


def template_of(service: RunService) -> Mapping[str, Any]:
    """v2, as JSON."""
    found: Mapping[str, Any] = service.body.get("template", {})
    return found


def is_own_placeholder(template: Mapping[str, Any]) -> bool:
    """Whether it is the one with which a release makes a service, and not somebody else's with the same image."""
    images = [container.get("image", "") for container in template.get("containers", ())]
    placeholder = [ImageReference.parse(image).uri for image in images] == [PLACEHOLDER_IMAGE]
    return placeholder and is_ours(template) and "slipway-service" not in template["labels"]


def is_ours(template: Mapping[str, Any]) -> bool:
    """Whether a release has had a say in it."""
    return bool(template.get("labels", {}).get("managed-by") == MANAGED_BY)


def said_then(place: Place, template: Mapping[str, Any], history: Sequence[ReleaseRecord]) -> frozenset[str]:
    """What the release that wrote a template had said of it, as paths; nothing where no record tells.

    Earlier versions of Slipway wrote templates whole, so all that they recorded they had said. What is set otherwise by
    now somebody else has set, in a template that still bears the run's label.
    """
    run = template.get("labels", {}).get("slipway-run", "")
    written = (
        target.template
        for record in history
        if run and label_value(record.run_id) == run
        for target in record.targets
        if target.place == place and target.template
    )
    recorded = next(written, {})
    if (said := said_before(recorded)) is not None:
        return said
    there = leaves(masked(template))
    ours = leaves({key: value for key, value in masked(recorded).items() if key != "labels"})
    return frozenset(path for path, value in ours.items() if path in there and there[path] == value)

"""What Cloud Run refuses outright, in its own words where those are known."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from infra.emulator.kernel.errors import invalid
from infra.emulator.run.defaults import BY_REVISION, LATEST, START_LIMIT_S, ingress_container
from infra.emulator.run.limits import check_resources, check_sidecar
from infra.emulator.run.names import ServiceName, short
from infra.emulator.run.wiring import check_wiring

SERVICE_ID = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")
REVISION_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
TAG = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
LABEL_KEY = re.compile(r"(?:[a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[a-z][a-z0-9_.-]{0,62}")
LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
ENV_NAME = re.compile(r"[^=\0]+")
IMAGE_HOST = re.compile(r"([a-z0-9-]+\.)?gcr\.io|([a-z0-9-]+-)?docker\.pkg\.dev|docker\.io")
# Namespaces that only Run itself may use in labels and annotations of API v2.
RESERVED = ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")
RESERVED_BESIDE = ("K_SERVICE", "K_REVISION", "K_CONFIGURATION")
# Sidecars are told no port: Google's sample with nginx gives one its own, https://cloud.google.com/run/docs/deploying
RESERVED_ENV = ("PORT", *RESERVED_BESIDE)
PORT_NAMES = ("http1", "h2c")
MAX_LABELS = 64
MAX_VARIABLES = 1_000  # https://cloud.google.com/run/docs/configuring/services/environment-variables
MAX_DESCRIPTION = 512
MAX_TAGGED_NAME = 46  # of a tag and its service's name together: https://cloud.google.com/run/docs/rollouts-rollbacks-traffic-migration#tags
LIVENESS_LIMIT_S = 3_600
GPU_START_LIMIT_S = 1_800  # https://cloud.google.com/run/docs/configuring/services/gpu-best-practices


def check_service_id(service_id: str) -> None:
    if not SERVICE_ID.fullmatch(service_id):
        rule = (
            "only lowercase, digits, and hyphens; must begin with letter, and cannot end with hyphen; "
            "must be less than 50 characters."
        )
        field = "Violation in CreateServiceRequest.service_id"
        raise invalid(f"{field}: {rule}", field)


def check_service(service: Any) -> None:
    """Checks what a caller wrote, after defaults were filled in."""
    name = ServiceName.parse(service.name)
    check_labels(service.labels, "service.labels")
    check_annotations(service.annotations, "service.annotations")
    check_template(service.template, name.id, name.location)
    check_traffic(service.traffic, name.id)
    if len(service.description) > MAX_DESCRIPTION:
        raise invalid(f"service.description: must have at most {MAX_DESCRIPTION} characters.", "service.description")
    scaling = service.scaling
    if scaling.max_instance_count and scaling.min_instance_count > scaling.max_instance_count:
        raise invalid(
            "service.scaling.min_instance_count: must be less than or equal to max_instance_count.", "service.scaling"
        )


def check_labels(labels: Mapping[str, str], field: str) -> None:
    if len(labels) > MAX_LABELS:
        raise invalid(f"{field}: No more than {MAX_LABELS} labels are allowed.", field)
    for key, value in labels.items():
        if is_reserved(key):
            raise invalid(f"{field}: Label key '{key}' is in a namespace reserved for the system.", field)
        if not LABEL_KEY.fullmatch(key):
            raise invalid(
                f"{field}: Label key '{key}' is invalid. Keys must start with a lowercase letter and contain only "
                "lowercase letters, digits, '_' and '-', at most 63 characters.",
                field,
            )
        if not LABEL_VALUE.fullmatch(value):
            raise invalid(
                f"{field}: Label value '{value}' of key '{key}' is invalid. Values may contain only lowercase "
                "letters, digits, '_' and '-', at most 63 characters.",
                field,
            )


def check_annotations(annotations: Mapping[str, str], field: str) -> None:
    for key in annotations:
        if is_reserved(key):
            raise invalid(
                f"{field}: Annotation '{key}' is not supported: namespace reserved for the system. Use the "
                "corresponding field of the API instead.",
                field,
            )


def is_reserved(key: str) -> bool:
    """Whether a label or annotation key lies in one of the system's namespaces."""
    namespace = key.partition("/")[0] if "/" in key else ""
    return any(namespace == name or namespace.endswith(f".{name}") for name in RESERVED)


def check_head(template: Any, owner_id: str, field: str) -> None:
    """What is said of a revision beside its containers."""
    if template.revision:
        _check_revision_name(template.revision, owner_id, f"{field}.revision")
    check_labels(template.labels, f"{field}.labels")
    check_annotations(template.annotations, f"{field}.annotations")


def check_template(template: Any, service_id: str, location: str) -> None:
    field = "service.template"
    check_head(template, service_id, field)
    if not template.containers:
        raise invalid(f"{field}.containers: Revision template must contain at least one container.", field)
    if ingress_container(template.containers) is None:
        raise invalid(
            f"{field}.containers: Revision template should contain exactly one container with an exposed port.", field
        )
    ingress = ingress_container(template.containers)
    for index, container in enumerate(template.containers):
        where = f"{field}.containers[{index}]"
        check_container(container, where, RESERVED_ENV if container is ingress else RESERVED_BESIDE)
        if container is ingress:
            check_resources(template, container, where)
        else:
            check_sidecar(container, where)
    check_wiring(template, field, location)
    if not 0 < template.timeout.ToTimedelta().total_seconds() <= 3600:
        raise invalid(f"{field}.timeout: must be between 1s and 3600s.", f"{field}.timeout")
    scaling = template.scaling
    if scaling.min_instance_count > scaling.max_instance_count:
        raise invalid(
            f"{field}.scaling.min_instance_count: must be less than or equal to max_instance_count.", f"{field}.scaling"
        )


def _check_revision_name(revision: str, owner_id: str, field: str) -> None:
    if not revision.startswith(f"{owner_id}-") or not REVISION_ID.fullmatch(revision):
        raise invalid(
            f"{field}: Revision name '{revision}' must be prefixed by the name of the enclosing service with a "
            "trailing -, use only lowercase letters, numbers and '-', and have at most 63 characters.",
            field,
        )


def check_container(container: Any, field: str, reserved_names: Collection[str] = RESERVED_ENV) -> None:
    """What holds for a container wherever it runs."""
    _check_image(container.image, f"{field}.image")
    names = [variable.name for variable in container.env]
    if reserved := [name for name in names if name in reserved_names]:
        raise invalid(
            f"{field}.env: The following reserved env names were provided: {', '.join(reserved)}. These values are "
            "automatically set by the system.",
            f"{field}.env",
        )
    if len(set(names)) != len(names) or not all(ENV_NAME.fullmatch(name) for name in names):
        raise invalid(f"{field}.env: names must be non-empty, without '=', and unique.", f"{field}.env")
    if len(names) > MAX_VARIABLES:
        raise invalid(f"{field}.env: No more than {MAX_VARIABLES} environment variables are allowed.", f"{field}.env")
    _check_ports(container.ports, f"{field}.ports")
    if container.HasField("startup_probe"):
        _check_startup_probe(container.startup_probe, f"{field}.startup_probe")
    for kind in ("liveness_probe", "readiness_probe"):
        if kind in container.DESCRIPTOR.fields_by_name and container.HasField(kind):
            probe = getattr(container, kind)
            if probe.HasField("tcp_socket"):  # https://cloud.google.com/run/docs/configuring/healthchecks
                raise invalid(f"{field}.{kind}.tcp_socket: is supported for startup probes only.", f"{field}.{kind}")
            _check_probe(probe, f"{field}.{kind}", LIVENESS_LIMIT_S)


def _check_ports(ports: Any, field: str) -> None:
    """https://cloud.google.com/run/docs/reference/rest/v2/Container#ContainerPort"""
    if len(ports) > 1:
        raise invalid(f"{field}: Only a single port may be specified.", field)
    for port in ports:
        if not 1 <= port.container_port <= 65535:
            raise invalid(f"{field}: container port must be between 1 and 65535.", field)
        if port.name and port.name not in PORT_NAMES:
            raise invalid(f"{field}.name: Port name must be one of {', '.join(PORT_NAMES)}.", f"{field}.name")


def _check_image(image: str, field: str) -> None:
    if not image:
        raise invalid(f"{field}: must not be empty.", field)
    first = image.split("/", 1)[0]
    has_host = "/" in image and ("." in first or ":" in first)
    if has_host and not IMAGE_HOST.fullmatch(first):
        raise invalid(
            f"{field}: Expected an image path like [host/]repo-path[:tag and/or @digest], where host is one of "
            f"[region.]gcr.io, [region-]docker.pkg.dev or docker.io but obtained {image}",
            field,
        )


def _check_startup_probe(probe: Any, field: str) -> None:
    """With a GPU Google's own examples wait for half an hour (1 s x 1,800), so the product is bounded by that."""
    _check_probe(probe, field, START_LIMIT_S)
    if probe.failure_threshold * probe.period_seconds > GPU_START_LIMIT_S:
        raise invalid(
            f"{field}: failure_threshold * period_seconds must be at most {GPU_START_LIMIT_S} seconds.", field
        )


def _check_probe(probe: Any, field: str, limit_s: int) -> None:
    if probe.initial_delay_seconds > limit_s or probe.period_seconds > limit_s:
        raise invalid(f"{field}: initial delay and period must be at most {limit_s} seconds.", field)
    if probe.timeout_seconds > probe.period_seconds:
        raise invalid(f"{field}.timeout_seconds: must not be greater than period_seconds.", field)


def check_traffic(traffic: Any, service_id: str) -> None:
    field = "service.traffic"
    check_shares(traffic, field, "Traffic")
    for target in traffic:
        if target.tag and not TAG.fullmatch(target.tag):
            raise invalid(
                f"{field}: Traffic tag '{target.tag}' must use only lowercase letters, numbers and '-', begin with a "
                "letter and not end with '-'.",
                field,
            )
        if target.tag and len(target.tag) + len(service_id) > MAX_TAGGED_NAME:
            raise invalid(
                f"{field}: Traffic tag '{target.tag}' and service name '{service_id}' together must have at most "
                f"{MAX_TAGGED_NAME} characters.",
                field,
            )
    tags = [target.tag for target in traffic if target.tag]
    if len(set(tags)) != len(tags):
        raise invalid(f"{field}: Traffic tags must be unique.", field)


def check_shares(targets: Any, field: str, what: str) -> None:
    """What holds of traffic and of instances alike: targets of one kind, with percents of one whole."""
    for target in targets:
        if not 0 <= target.percent <= 100:
            raise invalid(f"{field}: {what} percent must be between 0 and 100, got {target.percent}.", field)
        if target.type_ == BY_REVISION and not target.revision:
            raise invalid(f"{field}: A target of type REVISION must name a revision.", field)
        if target.type_ == LATEST and target.revision:
            raise invalid(f"{field}: A target of type LATEST must not name a revision.", field)
    if (total := sum(target.percent for target in targets)) != 100:
        raise invalid(f"{field}: {what} percents must sum to 100, but sum to {total}.", field)
    shares = [(target.type_, short(target.revision)) for target in targets if target.percent]
    if len(set(shares)) != len(shares):
        raise invalid(f"{field}: A revision, or LATEST, may be given a percent once only.", field)


def check_first_traffic(service: Any) -> None:
    """On creation there is no revision that traffic could name but the one that comes with it."""
    check_first_shares(service.template, service.traffic, "service.traffic", "TrafficTarget")


def check_first_shares(template: Any, targets: Any, field: str, message: str) -> None:
    for index, target in enumerate(targets):
        if (target.type_ == BY_REVISION or target.revision) and short(target.revision) != template.revision:
            kind = f"type.googleapis.com/google.cloud.run.v2.{message}"
            raise invalid(f"Invalid value at '{field}' ({kind}), {index}", field)

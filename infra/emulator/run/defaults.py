"""What Cloud Run fills in where a service says nothing (read off recorded answers of real services)."""

from __future__ import annotations

from typing import Any

from google.api.launch_stage_pb2 import LaunchStage
from google.cloud import run_v2

MEMORY, CPU = "512Mi", "1000m"
PORT = 8080
MAX_INSTANCES = 100
CONCURRENCY = 80
REQUEST_TIMEOUT_S = 300
START_LIMIT_S = 240  # a container must listen within four minutes
LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
BY_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
# "If not provided, it defaults to PRIVATE_RANGES_ONLY", which Terraform's provider reads back (egress is computed).
PRIVATE_RANGES = run_v2.VpcAccess.VpcEgress.PRIVATE_RANGES_ONLY
PROBES = ("startup_probe", "liveness_probe", "readiness_probe")


def default_account(project_number: int) -> str:
    """The account a revision runs as when its template names none."""
    return f"{project_number}-compute@developer.gserviceaccount.com"


def fill_in(service: Any, project_number: int) -> None:
    """Completes a service in place; what is set stays."""
    service.launch_stage = service.launch_stage or LaunchStage.GA
    service.ingress = service.ingress or run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL
    template = service.template
    template.service_account = template.service_account or default_account(project_number)
    if not template.HasField("timeout"):
        template.timeout.FromSeconds(REQUEST_TIMEOUT_S)
    template.scaling.max_instance_count = template.scaling.max_instance_count or MAX_INSTANCES
    if template.vpc_access.connector or template.vpc_access.network_interfaces:
        template.vpc_access.egress = template.vpc_access.egress or PRIVATE_RANGES
    ingress = ingress_container(template.containers)
    if ingress is not None:
        _complete_ingress(ingress)
    for container in template.containers:
        _complete(container)
    if ingress is not None:
        slow = sum(_cpu(each.resources.limits.get("cpu", CPU)) for each in template.containers) < 1
        concurrency = template.max_instance_request_concurrency or (1 if slow else CONCURRENCY)
        template.max_instance_request_concurrency = concurrency
    if not service.traffic:
        service.traffic.add(type_=LATEST, percent=100)
    for target in service.traffic:
        if not target.type_:
            target.type_ = BY_REVISION if target.revision else LATEST


def ingress_container(containers: Any) -> Any:
    """The container that gets the requests: the one with a port, or the only one; None if that is not clear."""
    with_port = [container for container in containers if container.ports]
    if len(with_port) == 1:
        return with_port[0]
    return containers[0] if len(containers) == 1 else None


def port_of(container: Any) -> int:
    return int(container.ports[0].container_port) if container.ports else PORT


def _complete(container: Any) -> None:
    """Sidecars too: a recorded answer is
    https://github.com/goblet/goblet, goblet/tests/data/http/deployer-cloudrun-deploy-multi-container.
    """
    if not container.HasField("resources"):
        container.resources.cpu_idle = True
    limits = container.resources.limits
    limits["memory"] = limits["memory"] or MEMORY
    limits["cpu"] = limits["cpu"] or CPU
    port = port_of(container) if container.ports else 0
    for kind in PROBES:
        if kind in container.DESCRIPTOR.fields_by_name and container.HasField(kind):
            complete_probe(getattr(container, kind), port)


def _complete_ingress(container: Any) -> None:
    """It alone has a port, and a startup probe where it says none."""
    if not container.ports:
        container.ports.add(container_port=PORT)
    container.ports[0].name = container.ports[0].name or "http1"
    container.ports[0].container_port = container.ports[0].container_port or PORT
    if not container.HasField("startup_probe"):
        probe = container.startup_probe
        probe.timeout_seconds, probe.period_seconds, probe.failure_threshold = START_LIMIT_S, START_LIMIT_S, 1
        probe.tcp_socket.port = port_of(container)


def complete_probe(probe: Any, port: int) -> None:
    probe.timeout_seconds = probe.timeout_seconds or 1
    probe.period_seconds = probe.period_seconds or 10
    probe.failure_threshold = probe.failure_threshold or 3
    kind = probe.WhichOneof("probe_type") or "tcp_socket"
    action = getattr(probe, kind)
    action.port = action.port or port
    if kind == "http_get":
        action.path = action.path or "/"


def is_default_probe(probe: Any) -> bool:
    """Whether the startup probe is the one that Run adds itself."""
    return bool(probe.HasField("tcp_socket") and probe.period_seconds == START_LIMIT_S and probe.failure_threshold == 1)


def _cpu(quantity: str) -> float:
    """CPUs of a Kubernetes quantity: 1000m, 2, 0.5."""
    try:
        return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)
    except ValueError:
        return 1.0

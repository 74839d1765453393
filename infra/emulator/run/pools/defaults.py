"""What Cloud Run fills in where a worker pool says nothing, and what it refuses.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.workerPools
"""

from __future__ import annotations

from typing import Any

from google.api.launch_stage_pb2 import LaunchStage

from infra.emulator.kernel.errors import invalid
from infra.emulator.run.defaults import BY_REVISION, CPU, LATEST, MEMORY, complete_probe, default_account
from infra.emulator.run.limits import check_sidecar, check_task_resources
from infra.emulator.run.names import PoolName
from infra.emulator.run.validation import (
    RESERVED_ENV,
    SERVICE_ID,
    check_annotations,
    check_container,
    check_first_shares,
    check_head,
    check_labels,
    check_shares,
)
from infra.emulator.run.wiring import check_wiring

MOST_CONTAINERS = 10  # gcloud: "Worker pools may include at most 10 containers"
LONGEST_DESCRIPTION = 512
# https://cloud.google.com/run/docs/container-contract#worker-pools-env-vars
RESERVED = (*RESERVED_ENV, "CLOUD_RUN_WORKER_POOL", "CLOUD_RUN_REVISION")


def fill_in(pool: Any, project_number: int) -> None:
    """Completes a pool in place; what is set stays. It has no port and no default probe: nobody sends it requests."""
    pool.launch_stage = pool.launch_stage or LaunchStage.GA
    template = pool.template
    template.service_account = template.service_account or default_account(project_number)
    for container in template.containers[:1]:
        limits = container.resources.limits
        limits["memory"] = limits["memory"] or MEMORY
        limits["cpu"] = limits["cpu"] or CPU
    for container in template.containers:
        for kind in ("startup_probe", "liveness_probe"):
            if container.HasField(kind):
                complete_probe(getattr(container, kind), 0)
    if not pool.scaling.HasField("manual_instance_count"):
        pool.scaling.manual_instance_count = 1  # .../configuring/workerpools/manual-scaling
    if not pool.instance_splits:  # "defaults to 100% to the latest Ready Revision"
        pool.instance_splits.add(type_=LATEST, percent=100)
    for split in pool.instance_splits:
        if not split.type_:
            split.type_ = BY_REVISION if split.revision else LATEST


def check_new(pool: Any) -> None:
    """ "It must begin with letter, and cannot end with hyphen; must contain fewer than 50 characters." """
    if not SERVICE_ID.fullmatch(PoolName.parse(pool.name).id):
        field = "Violation in CreateWorkerPoolRequest.worker_pool_id"
        rule = (
            "only lowercase, digits, and hyphens; must begin with letter, and cannot end with hyphen; must be less "
            "than 50 characters."
        )
        raise invalid(f"{field}: {rule}", field)
    check_first_shares(pool.template, pool.instance_splits, "worker_pool.instance_splits", "InstanceSplit")


def check_pool(pool: Any) -> None:
    """Checks what a caller wrote, after defaults were filled in. Raises INVALID_ARGUMENT."""
    name = PoolName.parse(pool.name)
    check_labels(pool.labels, "worker_pool.labels")
    check_annotations(pool.annotations, "worker_pool.annotations")
    if len(pool.description) > LONGEST_DESCRIPTION:
        field = "worker_pool.description"
        raise invalid(f"{field}: must have at most {LONGEST_DESCRIPTION} characters.", field)
    if pool.scaling.manual_instance_count < 0:
        field = "worker_pool.scaling.manual_instance_count"
        raise invalid(f"{field}: must not be negative.", field)
    check_head(pool.template, name.id, "worker_pool.template")
    _check_containers(pool.template, "worker_pool.template.containers")
    check_wiring(pool.template, "worker_pool.template", name.location)
    check_shares(pool.instance_splits, "worker_pool.instance_splits", "Instance split")


def _check_containers(template: Any, field: str) -> None:
    if not 1 <= len(template.containers) <= MOST_CONTAINERS:
        raise invalid(f"{field}: must have 1 to {MOST_CONTAINERS} containers.", field)
    for index, container in enumerate(template.containers):
        where = f"{field}[{index}]"
        check_container(container, where, RESERVED)
        # Pools have no endpoint: https://cloud.google.com/run/docs/deploy-worker-pools; ports and readiness probes are
        # not among what the resource takes: .../terraform-provider-google, google_cloud_run_v2_worker_pool
        for kind in ("ports", "readiness_probe"):
            if kind in container.DESCRIPTOR.fields_by_name and kind in {f.name for f, _ in container.ListFields()}:
                raise invalid(f"{where}.{kind}: is not supported for worker pools, which take no requests.", where)
        for kind in ("startup_probe", "liveness_probe"):
            if container.HasField(kind):
                _check_probe(getattr(container, kind), f"{where}.{kind}")
        if index == 0:
            check_task_resources(template, container, where)
        else:
            check_sidecar(container, where)


def _check_probe(probe: Any, field: str) -> None:
    """There is no port of the container that it could mean."""
    kind = probe.WhichOneof("probe_type")
    if kind is None or not getattr(probe, kind).port:
        raise invalid(f"{field}: must say a port: the container has none.", field)
    if kind == "tcp_socket" and field.endswith("liveness_probe"):  # .../configuring/workerpools/healthchecks
        raise invalid(f"{field}: tcp_socket is supported for startup probes only.", field)

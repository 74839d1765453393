"""How much CPU, memory and concurrency go together. Messages as users have reported them.

https://cloud.google.com/run/docs/configuring/services/cpu, .../services/memory-limits, /run/docs/about-concurrency
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from google.cloud import run_v2

from infra.emulator.kernel.errors import invalid
from infra.emulator.run.workload import quantity

MI, GI = 1 << 20, 1 << 30
WHOLE_CPUS = (1, 2, 4, 6, 8)
SMALLEST_CPU = Decimal("0.08")
STEP = Decimal("0.001")
MAX_CONCURRENCY = 1_000
MIN_MEMORY, MIN_MEMORY_GEN2 = 128 * MI, 512 * MI
# The most memory that so many CPUs can have, and the least that they need.
MOST = ((Decimal("0.5"), 512 * MI), (Decimal(1), GI), (Decimal(2), 4 * GI), (Decimal(4), 8 * GI), (Decimal(6), 16 * GI))
MOST_WITH_6, MOST_WITH_8 = 24 * GI, 32 * GI
LEAST = {4: 2 * GI, 6: 4 * GI, 8: 4 * GI}
GEN2 = run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN2
# type of accelerator -> CPUs, memory: https://cloud.google.com/run/docs/configuring/services/gpu
GPUS = {"nvidia-l4": (4, 16 * GI), "nvidia-rtx-pro-6000": (20, 80 * GI)}
GUIDANCE = "For more troubleshooting guidance, see https://cloud.google.com/run/docs/configuring"


def check_resources(template: Any, container: Any, field: str) -> None:
    """Raises INVALID_ARGUMENT for a combination that Cloud Run does not offer; `container` takes the requests."""
    limits = f"{field}.resources.limits"
    cpu = _cpu(container.resources.limits["cpu"], f"{limits}.cpu")
    memory = _memory(container.resources.limits["memory"], f"{limits}.memory")
    concurrency = template.max_instance_request_concurrency
    if not 1 <= concurrency <= MAX_CONCURRENCY:
        where = "template.max_instance_request_concurrency"
        raise invalid(f"{where}: must be between 1 and {MAX_CONCURRENCY}, got {concurrency}.", where)
    if gpu := container.resources.limits.get("nvidia.com/gpu", ""):
        _check_gpu(template, container, cpu, memory, gpu, limits)
        return
    _check_cpu(template, container, cpu, f"{limits}.cpu")
    _check_total(template, container, f"{limits}.cpu")
    _check_memory(template, cpu, memory, f"{limits}.memory")


def check_task_resources(template: Any, container: Any, field: str) -> None:
    """The same for what takes no requests, which has whole CPUs.

    https://cloud.google.com/run/docs/configuring/jobs/cpu, .../workerpools/cpu
    """
    limits = f"{field}.resources.limits"
    cpu = _cpu(container.resources.limits["cpu"], f"{limits}.cpu")
    memory = _memory(container.resources.limits["memory"], f"{limits}.memory")
    if gpu := container.resources.limits.get("nvidia.com/gpu", ""):
        _check_gpu(template, container, cpu, memory, gpu, limits)
        return
    if cpu not in WHOLE_CPUS:
        raise invalid(
            f"{limits}.cpu: Invalid value specified for cpu. Without requests it must be one of 1, 2, 4, 6, 8, got "
            f"{cpu.normalize():f}.",
            f"{limits}.cpu",
        )
    _check_memory(template, cpu, memory, f"{limits}.memory")


def check_sidecar(container: Any, field: str) -> None:
    """Sidecars have their own, freer limits; together with the others they must still be numbers."""
    limits = f"{field}.resources.limits"
    if "cpu" in container.resources.limits:
        _cpu(container.resources.limits["cpu"], f"{limits}.cpu")
    if "memory" in container.resources.limits:
        _memory(container.resources.limits["memory"], f"{limits}.memory")


def _cpu(text: str, field: str) -> Decimal:
    try:
        cpu = Decimal(text[:-1]) / 1000 if text.endswith("m") else Decimal(text)
    except InvalidOperation as error:
        raise invalid(f"{field}: Invalid value specified for cpu. '{text}' is not a quantity.", field) from error
    return cpu


def _memory(text: str, field: str) -> int:
    try:
        return quantity(text)
    except ValueError as error:
        raise invalid(f"{field}: Invalid value specified for memory. '{text}' is not a quantity.", field) from error


def _check_cpu(template: Any, container: Any, cpu: Decimal, field: str) -> None:
    wrong = f"{field}: Invalid value specified for cpu."
    if cpu > 1 and cpu not in WHOLE_CPUS:
        raise invalid(f"{wrong} Values above 1 must be one of 2, 4, 6, 8, got {cpu.normalize():f}.", field)
    if cpu < SMALLEST_CPU or cpu % STEP:
        raise invalid(f"{wrong} Must be at least {SMALLEST_CPU} in steps of {STEP}, got {cpu.normalize():f}.", field)


def _check_total(template: Any, container: Any, field: str) -> None:
    """Of all containers; one that says nothing has one CPU."""
    wrong = f"{field}: Invalid value specified for cpu."
    if sum(_cpu(each.resources.limits.get("cpu", "1"), field) for each in template.containers) >= 1:
        return
    if template.max_instance_request_concurrency > 1:
        raise invalid(f"{wrong}\nTotal cpu < 1 is not supported with concurrency > 1.", field)
    if not container.resources.cpu_idle:
        raise invalid(f"{wrong} Total cpu < 1 is not supported with cpu always allocated (unthrottled).", field)
    if is_second_generation(template):
        raise invalid(f"{wrong} Total cpu < 1 is not supported with gen2 execution environment.", field)


def _check_memory(template: Any, cpu: Decimal, memory: int, field: str) -> None:
    gen2 = is_second_generation(template)
    least = max(LEAST.get(int(cpu), 0) if cpu >= 1 else 0, MIN_MEMORY_GEN2 if gen2 else MIN_MEMORY)
    most = next((limit for above, limit in MOST if cpu < above), MOST_WITH_6 if cpu == 6 else MOST_WITH_8)
    if not least <= memory <= most:
        kind = " with gen2 execution environment" if gen2 else ""
        raise invalid(
            f"{field}: Invalid value specified for container memory{kind}. For {float(cpu)} CPU, memory must be "
            f"between {_shown(least)} and {_shown(most)} inclusive.\n{GUIDANCE}/memory-limits",
            field,
        )


def is_second_generation(template: Any) -> bool:
    """Chosen, or needed by a volume: https://cloud.google.com/run/docs/about-execution-environments. Pools have it."""
    mounted = any(each.WhichOneof("volume_type") in ("gcs", "nfs") for each in template.volumes)
    return mounted or bool(getattr(template, "execution_environment", GEN2) == GEN2)


def _check_gpu(template: Any, container: Any, cpu: Decimal, memory: int, count: str, field: str) -> None:
    kind = template.node_selector.accelerator
    if count != "1" or kind not in GPUS:
        raise invalid(
            f"{field}: One GPU per instance, of a type in template.node_selector.accelerator: {', '.join(GPUS)}.", field
        )
    cpus, least = GPUS[kind]
    if cpu < cpus or memory < least or container.resources.cpu_idle:
        raise invalid(
            f"{field}: A GPU of type {kind} needs at least {cpus} CPU and {_shown(least)} memory, and CPU always "
            "allocated.",
            field,
        )


def _shown(memory: int) -> str:
    return f"{memory // GI}Gi" if memory % GI == 0 else f"{memory // MI}Mi"

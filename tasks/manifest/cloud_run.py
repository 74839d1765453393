"""What Cloud Run refuses of a service's settings, as far as slipway.yaml alone tells. Pure.

Only what is said is judged: what is left to others may be as it must be. Preflight has Google look at the whole.
https://cloud.google.com/run/docs/configuring/services/cpu, .../memory-limits, .../gpu, .../healthchecks, .../secrets
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from graphlib import CycleError, TopologicalSorter
from typing import Any

from tasks.manifest.container import CLOUD_SQL, Probe, Volume
from tasks.manifest.document import Flaw, Path
from tasks.manifest.settings import JobSettings, PoolSettings, ServiceSettings

START_LIMIT_S, ALIVE_LIMIT_S = 240, 3_600
# The pages say 240 s in all; Google's own example with a GPU has 1,800 (1 s x 1,800), and services without one run with
# more than 240, so that less is not for us to refuse.
WHOLE_START_LIMIT_S = 1_800
PROBE_PERIOD_S, PROBE_TIMEOUT_S, PROBE_FAILURES = 10, 1, 3  # where nothing is said
MI, GI = 1 << 20, 1 << 30
WHOLE_CPUS = (1, 2, 4, 6, 8)
SMALLEST_CPU, CPU_STEP = Decimal("0.08"), Decimal("0.001")
# With fewer CPUs than this there can be this much memory; so many CPUs need this much.
MOST_MEMORY = ((Decimal("0.5"), 512 * MI), (Decimal(1), GI), (Decimal(2), 4 * GI), (Decimal(4), 8 * GI),
               (Decimal(6), 16 * GI), (Decimal(8), 24 * GI), (Decimal(9), 32 * GI))  # fmt: skip
LEAST_MEMORY = {4: 2 * GI, 6: 4 * GI, 8: 4 * GI}
GPUS = {"nvidia-l4": (4, 16 * GI), "nvidia-rtx-pro-6000": (20, 80 * GI)}
_UNITS = {"Mi": MI, "Gi": GI, "M": 10**6, "G": 10**9}


def cloud_run_flaws(path: Path, service: ServiceSettings) -> Iterator[Flaw]:
    """Each rule that is broken, with the place of what breaks it."""
    said = {name: getattr(service, name) for name in service.model_fields_set}
    yield from _gpu(path, said) if service.gpu and not service.gpu.container else _cpu(path, said)
    yield from _gpu_of_sidecar(path, service)
    yield from _probes(path, service)
    yield from _sidecars(path, service)
    yield from _mounts(path, service)
    if service.execution_environment == "gen1":
        for name in _of_gen2(service.volumes):
            yield Flaw((*path, "volumes", name), "buckets and NFS shares need the execution environment gen2")


def _of_gen2(volumes: Mapping[str, Volume]) -> list[str]:
    return [name for name, volume in volumes.items() if volume.memory is None]


def workload_flaws(path: Path, job: JobSettings | PoolSettings) -> Iterator[Flaw]:
    """The same of a job or a worker pool.

    https://cloud.google.com/run/docs/configuring/jobs/cpu, .../workerpools/cpu, .../memory-limits
    """
    said = {name: getattr(job, name) for name in job.model_fields_set}
    if job.gpu:
        yield from _gpu(path, said)
    elif "cpu" in said and cpus(said["cpu"]) not in WHOLE_CPUS:
        yield Flaw((*path, "cpu"), "must be 1, 2, 4, 6 or 8")
    else:
        yield from _cpu(path, said)
    if "memory" in said and size(said["memory"]) < 512 * MI:
        yield Flaw((*path, "memory"), "must be at least 512Mi")
    yield from _mounts(path, job)
    if isinstance(job, PoolSettings):
        yield from _own_probes(path, job, ())
        for key in ("startup_probe", "liveness_probe"):
            if (probe := getattr(job, key)) and probe.port is None:  # .../workerpools/healthchecks
                yield Flaw((*path, key, "port"), "must be said: the container of a worker pool has none of its own")


def cpus(text: str) -> Decimal:
    """CPUs of 2, 0.5 or 500m."""
    return Decimal(text[:-1]) / 1000 if text.endswith("m") else Decimal(text)


def size(text: str) -> Decimal:
    """Bytes of 512Mi, 2Gi, 1G."""
    unit = next(unit for unit in _UNITS if text.endswith(unit))
    return Decimal(text.removesuffix(unit)) * _UNITS[unit]


def _cpu(path: Path, said: Mapping[str, Any]) -> Iterator[Flaw]:
    if "cpu" not in said:
        return
    cpu, at = cpus(said["cpu"]), (*path, "cpu")
    if cpu > 1 and cpu not in WHOLE_CPUS:
        yield Flaw(at, "must be 1, 2, 4, 6 or 8, or less than 1")
    elif cpu < SMALLEST_CPU or cpu % CPU_STEP:
        yield Flaw(at, f"must be at least {SMALLEST_CPU}, in steps of {CPU_STEP}")
    elif cpu + sum(cpus(each.cpu or "1") for each in said.get("sidecars", {}).values()) < 1:
        yield from _small(path, said)
    if "memory" in said:
        yield from _memory((*path, "memory"), cpu, size(said["memory"]))


def _small(path: Path, said: Mapping[str, Any]) -> Iterator[Flaw]:
    """What Cloud Run does not offer below one CPU, of all containers together."""
    if said.get("concurrency", 1) > 1:
        yield Flaw((*path, "concurrency"), "must be 1 with less than 1 CPU, which is its default there")
    if said.get("cpu_throttling") is False:
        yield Flaw((*path, "cpu_throttling"), "must be true with less than 1 CPU")
    if said.get("execution_environment") == "gen2":
        yield Flaw((*path, "execution_environment"), "must be gen1 with less than 1 CPU")
    for name in _of_gen2(said.get("volumes", {})):
        yield Flaw((*path, "volumes", name), "needs 1 CPU: buckets and NFS shares need the execution environment gen2")


def _memory(at: Path, cpu: Decimal, memory: Decimal) -> Iterator[Flaw]:
    most = next((limit for above, limit in MOST_MEMORY if cpu < above), None)
    least = LEAST_MEMORY.get(int(cpu), 128 * MI)
    if most is not None and not least <= memory <= most:
        yield Flaw(at, f"must be from {_shown(least)} to {_shown(most)} with {cpu.normalize():f} CPU")


def _gpu(path: Path, said: Mapping[str, Any]) -> Iterator[Flaw]:
    kind = said["gpu"].type
    least_cpu, least = GPUS[kind]
    if "cpu" in said and cpus(said["cpu"]) < least_cpu:
        yield Flaw((*path, "cpu"), f"must be at least {least_cpu} with a GPU of type {kind}")
    if "memory" in said and size(said["memory"]) < least:
        yield Flaw((*path, "memory"), f"must be at least {_shown(least)} with a GPU of type {kind}")
    if said.get("cpu_throttling"):
        yield Flaw((*path, "cpu_throttling"), "must be false with a GPU, which is its default there")
    if said.get("execution_environment") == "gen1":
        yield Flaw((*path, "execution_environment"), "must be gen2 with a GPU")


def _gpu_of_sidecar(path: Path, service: ServiceSettings) -> Iterator[Flaw]:
    name = service.gpu and service.gpu.container
    if not name:
        return
    if name not in service.sidecars:
        yield Flaw((*path, "gpu", "container"), f"there is no sidecar '{name}'")
        return
    sidecar = service.sidecars[name]
    said = {key: getattr(sidecar, key) for key in sidecar.model_fields_set}
    yield from _gpu((*path, "sidecars", name), {**said, "gpu": service.gpu})
    if service.execution_environment == "gen1":
        yield Flaw((*path, "execution_environment"), "must be gen2 with a GPU")


def _shown(memory: int) -> str:
    return f"{memory // GI}Gi" if memory % GI == 0 else f"{memory // MI}Mi"


def _probes(path: Path, service: ServiceSettings) -> Iterator[Flaw]:
    owners: list[tuple[Path, Any]] = [(path, service)]
    owners += [((*path, "sidecars", name), each) for name, each in service.sidecars.items()]
    for place, owner in owners:
        yield from _own_probes(place, owner, ("readiness_probe",))


def _own_probes(place: Path, owner: Any, more: Sequence[str]) -> Iterator[Flaw]:
    if owner.startup_probe:
        yield from _probe((*place, "startup_probe"), owner.startup_probe, START_LIMIT_S, WHOLE_START_LIMIT_S)
    for key in ("liveness_probe", *more):
        if probe := getattr(owner, key, None):
            yield from _probe((*place, key), probe, ALIVE_LIMIT_S, None)
            if probe.tcp:
                yield Flaw((*place, key, "tcp"), "is for startup_probe only; use http or grpc")


def _probe(path: Path, probe: Probe, limit_s: int, total_s: int | None) -> Iterator[Flaw]:
    period = PROBE_PERIOD_S if probe.period is None else probe.period
    timeout = PROBE_TIMEOUT_S if probe.timeout is None else probe.timeout
    if not 1 <= period <= limit_s:
        yield Flaw((*path, "period"), f"must be from 1s to {limit_s}s")
    if (probe.initial_delay or 0) > limit_s:
        yield Flaw((*path, "initial_delay"), f"must be at most {limit_s}s")
    if not 1 <= timeout <= period:
        yield Flaw((*path, "timeout"), f"must be from 1s to the period, which is {period:g}s")
    failures = probe.failure_threshold or PROBE_FAILURES
    if total_s is not None and 1 <= period <= limit_s and period * failures > total_s:
        yield Flaw((*path, "failure_threshold"), f"times period must be at most {total_s}s, the time to start")


def _sidecars(path: Path, service: ServiceSettings) -> Iterator[Flaw]:
    names, own = service.sidecars.keys(), service.container or ""
    waits = {own: service.starts_after}
    if own in names:
        yield Flaw((*path, "container"), f"a sidecar is called {own} too")
    for index, needed in enumerate(service.starts_after):
        if needed not in names:
            yield Flaw((*path, "starts_after", index), f"there is no sidecar '{needed}'")
    for name, sidecar in service.sidecars.items():
        waits[name] = sidecar.depends_on
        for index, needed in enumerate(sidecar.depends_on):
            if needed not in (*names, service.container):
                yield Flaw((*path, "sidecars", name, "depends_on", index), f"there is no sidecar '{needed}'")
        for volume in sidecar.volumes.keys() - service.volumes.keys() - _cloud_sql(service):
            yield Flaw((*path, "sidecars", name, "volumes", volume), f"there is no volume '{volume}' in volumes")
        for variable in sidecar.env.keys() & sidecar.secrets.keys():
            text = f"{variable} is in env too; a variable has one source"
            yield Flaw((*path, "sidecars", name, "secrets", variable), text)
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        cycle = list(reversed(error.args[1]))
        first = next((each for each in cycle if each in names), "")
        yield Flaw((*path, "sidecars", first, "depends_on"), f"depends on itself: {' -> '.join(cycle)}")


def _cloud_sql(service: ServiceSettings) -> set[str]:
    return {CLOUD_SQL} if service.cloudsql_instances else set()


def _mounts(path: Path, service: ServiceSettings | JobSettings | PoolSettings) -> Iterator[Flaw]:
    """A folder is one volume, and a volume of secrets is one secret."""
    folders: dict[str, str] = {}
    for file, reference in service.secrets.items():
        folder = posixpath.dirname(file) if file.startswith("/") else ""
        if folder and folders.setdefault(folder, reference.name) != reference.name:
            text = f"{folder} has the files of secret {folders[folder]} already; a folder shows one secret"
            yield Flaw((*path, "secrets", file), text)
    seen = Counter([*(each.mount for each in service.volumes.values() if each.mount), *folders])
    seen.update(["/cloudsql"] if service.cloudsql_instances else [])
    for name, volume in service.volumes.items():
        if volume.mount and seen[volume.mount] > 1:
            yield Flaw((*path, "volumes", name, "mount"), f"something else is seen at {volume.mount} too")

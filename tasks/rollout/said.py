"""What slipway.yaml says of a service, a job or a pool, as Cloud Run's API has it, and not what it leaves. Pure.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services#RevisionTemplate
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.manifest.container import CLOUD_SQL, ByRegion, Probe, Scaling, Sidecar, Volume, Vpc
from tasks.manifest.settings import JobSettings, Part, PoolSettings, ServiceSettings
from tasks.manifest.values import SecretRef, Strict
from tasks.model import Image
from tasks.rollout.words import CONTAINER, GPU, MAIN, PROBE, PROBES, SERVICE, SIDECAR, TEMPLATE, Word, seconds

SEEN_AT = "/cloudsql"
Body = dict[str, Any]
Versions = Mapping[SecretRef, int]


@dataclass(frozen=True, slots=True)
class Where:
    """Where a service is: names of connectors and subnets are of a region."""

    project: str
    region: str


def said_template(
    settings: ServiceSettings, image: Image, urls: Mapping[str, str], versions: Versions, where: Where
) -> Body:
    """urls: of the services this one depends on, by variable. versions: the number behind each reference."""
    gpu = settings.gpu
    owner = gpu and gpu.container
    sidecars = [_sidecar(name, each, versions, gpu=name == owner) for name, each in settings.sidecars.items()]
    return given(
        containers=[_main(settings, image, urls, versions), *sidecars],
        volumes=_volumes(settings, versions),
        **spoken(TEMPLATE, settings),
        vpcAccess=settings.vpc and _vpc(settings.vpc, where),
        nodeSelector=gpu and {"accelerator": gpu.type},
        gpuZonalRedundancyDisabled=None if gpu is None or gpu.zonal_redundancy is None else not gpu.zonal_redundancy,
        labels=settings.labels | settings.revision_labels,
        annotations=settings.annotations,
    )


def said_job(settings: JobSettings, image: Image, versions: Versions, where: Where) -> Body:
    """What slipway.yaml says of a job's executions.

    https://cloud.google.com/run/docs/reference/rest/v2/ExecutionTemplate
    """
    said = {name: getattr(settings, name) for name in settings.model_fields_set}
    task = given(
        **_unrequested(settings, image, versions, where),
        maxRetries=said.get("max_retries"),
        timeout=seconds(settings.timeout_s) if "timeout_s" in said else None,
    )
    return given(
        taskCount=said.get("tasks"),
        parallelism=said.get("parallelism"),
        labels=settings.labels,
        annotations=settings.annotations,
        template=task,
    )


def said_pool(settings: PoolSettings, image: Image, versions: Versions, where: Where) -> Body:
    """What slipway.yaml says of a worker pool's revisions.

    https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.workerPools#WorkerPoolRevisionTemplate
    """
    template = _unrequested(settings, image, versions, where)
    [container] = template["containers"]
    container |= _probes(settings)
    return given(**template, labels=settings.labels, annotations=settings.annotations)


def said_pool_whole(settings: PoolSettings) -> Body:
    """What is said of the pool as a whole, for all its revisions."""
    said = settings.model_fields_set
    scaling = {"manualInstanceCount": settings.scaling} if "scaling" in said else None
    return given(description=settings.description, scaling=scaling, labels=settings.labels)


def _unrequested(settings: JobSettings | PoolSettings, image: Image, versions: Versions, where: Where) -> Body:
    """What jobs and pools have in common: one container that nobody sends requests to, and what is around it."""
    said = {name: getattr(settings, name) for name in settings.model_fields_set}
    gpu = settings.gpu
    limits = given(cpu=said.get("cpu"), memory=said.get("memory"), **({GPU: "1"} if gpu else {}))
    container = given(
        image=image.reference,
        env=_env(settings.env, settings.secrets, versions),
        resources=limits and {"limits": limits},
        command=_list(settings.command),
        args=_list(settings.args),
        volumeMounts=_mounts({**_seen(settings), **_files(settings.secrets)}),
    )
    return given(
        containers=[container],
        volumes=_volumes(settings, versions),
        serviceAccount=settings.service_account,
        vpcAccess=settings.vpc and _vpc(settings.vpc, where),
        encryptionKey=settings.encryption_key,
        nodeSelector=gpu and {"accelerator": gpu.type},
        gpuZonalRedundancyDisabled=None if gpu is None or gpu.zonal_redundancy is None else not gpu.zonal_redundancy,
    )


def said_whole(settings: ServiceSettings) -> Body:
    """What is said of the service as a whole, for all its revisions."""
    policy, scaling = settings.binary_authorization, settings.scaling
    return given(
        **spoken(SERVICE, settings),
        scaling=scaling and _scaling(scaling),
        binaryAuthorization=policy and ({"useDefault": True} if policy == "default" else {"policy": policy}),
        labels=settings.labels | settings.service_labels,
        annotations=settings.service_annotations,
    )


def spoken(words: Iterable[Word], settings: Strict) -> Body:
    """What is said of these, at its places."""
    body: Body = {}
    for word in words:
        value = getattr(settings, word.key) if word.key in settings.model_fields_set else None
        if value is None or (there := word.say(value)) in ({}, [], ""):
            continue
        *way, last = word.path.split(".")
        place = body
        for step in way:
            place = place.setdefault(step, {})
        place[last] = there
    return body


def _scaling(scaling: Scaling) -> Body:
    if scaling.manual is not None:
        return {"scalingMode": "MANUAL", "manualInstanceCount": scaling.manual}
    return given(minInstanceCount=scaling.min, maxInstanceCount=scaling.max)


def given(**values: Any) -> Body:
    """Without what nobody said. False and 0 are said."""
    return {key: value for key, value in values.items() if value is not None and value not in ({}, [], "")}


def _main(settings: ServiceSettings, image: Image, urls: Mapping[str, str], versions: Versions) -> Body:
    """The container that gets the requests."""
    body = spoken((*CONTAINER, *MAIN), settings)
    if "ports" in body:
        body["ports"] = [body["ports"]]
    if settings.gpu and not settings.gpu.container:
        body["resources"] = _with_gpu(body.get("resources", {}))
    return given(
        **body,
        image=image.reference,
        env=_env(dict(settings.env) | dict(urls), settings.secrets, versions),
        volumeMounts=_mounts({**_seen(settings), **_files(settings.secrets)}),
        **_probes(settings),
    )


def _with_gpu(resources: Body) -> Body:
    """It needs CPU that is always there."""
    return {"cpuIdle": False, **resources, "limits": {**resources.get("limits", {}), GPU: "1"}}


def _sidecar(name: str, sidecar: Sidecar, versions: Versions, *, gpu: bool) -> Body:
    body = spoken((*CONTAINER, *SIDECAR), sidecar)
    if gpu:
        body["resources"] = _with_gpu(body.get("resources", {}))
    elif "resources" in body:  # which would have CPU always if nothing was said of it
        body["resources"] = {"cpuIdle": True, **body["resources"]}
    mounts = {path: volume for volume, path in sidecar.volumes.items()}
    return given(
        name=name,
        **body,
        env=_env(sidecar.env, sidecar.secrets, versions),
        volumeMounts=_mounts({**mounts, **_files(sidecar.secrets)}),
        **_probes(sidecar),
    )


def _seen(settings: Part) -> dict[str, str]:
    """Volumes by where the container sees them, but for those of secrets."""
    mounts = {each.mount: name for name, each in settings.volumes.items() if each.mount}
    return {**mounts, SEEN_AT: CLOUD_SQL} if settings.cloudsql_instances else mounts


def _list(words: tuple[str, ...] | None) -> list[str] | None:
    return list(words or ()) or None


def _env(plain: Mapping[str, str], secrets: Mapping[str, SecretRef], versions: Versions) -> list[Body]:
    """Variables by name; keys that are paths are files."""
    found: list[Body] = [{"name": name, "value": value} for name, value in sorted(plain.items())]
    found += [
        {"name": name, "valueSource": {"secretKeyRef": {"secret": ref.name, "version": str(versions[ref])}}}
        for name, ref in sorted(secrets.items())
        if not name.startswith("/")
    ]
    return found


def _files(secrets: Mapping[str, SecretRef]) -> dict[str, str]:
    """The volumes of secrets that are files, by the folder that they are seen in."""
    files = {path: ref for path, ref in sorted(secrets.items()) if path.startswith("/")}
    return {posixpath.dirname(path): secret_volume(path, ref.name) for path, ref in files.items()}


def secret_volume(path: str, secret: str) -> str:
    """What the volume is called that holds this file: one for each folder and secret; containers may differ in them."""
    return f"secret-{hashlib.sha256(f'{posixpath.dirname(path)}:{secret}'.encode()).hexdigest()[:8]}"


def _mounts(by_path: Mapping[str, str]) -> list[Body]:
    return [{"name": name, "mountPath": path} for path, name in sorted(by_path.items())]


def _volumes(settings: Part, versions: Versions) -> list[Body]:
    found = [{"name": name, **_kind(volume)} for name, volume in settings.volumes.items()]
    if settings.cloudsql_instances:
        found.append({"name": CLOUD_SQL, "cloudSqlInstance": {"instances": list(settings.cloudsql_instances)}})
    sidecars = settings.sidecars.values() if isinstance(settings, ServiceSettings) else ()
    files = {
        (path, ref)
        for secrets in (settings.secrets, *(each.secrets for each in sidecars))
        for path, ref in secrets.items()
        if path.startswith("/")
    }
    ordered = sorted(files, key=lambda file: (file[0], str(file[1])))
    for name in dict.fromkeys(secret_volume(path, ref.name) for path, ref in ordered):
        own = {path: ref for path, ref in ordered if secret_volume(path, ref.name) == name}
        items = [{"path": posixpath.basename(path), "version": str(versions[ref])} for path, ref in own.items()]
        found.append({"name": name, "secret": {"secret": next(iter(own.values())).name, "items": items}})
    return found


def _kind(volume: Volume) -> Body:
    if volume.memory is not None:
        return {"emptyDir": {"medium": "MEMORY", **({} if volume.memory is True else {"sizeLimit": volume.memory})}}
    if volume.bucket:
        return {"gcs": given(bucket=volume.bucket, readOnly=volume.read_only, mountOptions=list(volume.mount_options))}
    nfs = volume.nfs
    return {"nfs": given(server=nfs and nfs.server, path=nfs and nfs.path, readOnly=volume.read_only)}


def _vpc(vpc: Vpc, where: Where) -> Body:
    egress = vpc.egress and vpc.egress.replace("-", "_").upper()
    if vpc.connector:
        name = _here(vpc.connector, where)
        full = name if "/" in name else f"projects/{where.project}/locations/{where.region}/connectors/{name}"
        return given(connector=full, egress=egress)
    subnet = _here(vpc.subnet, where) if vpc.subnet else None
    interface = given(network=vpc.network, subnetwork=subnet, tags=list(vpc.tags))
    return given(networkInterfaces=[interface], egress=egress)


def _here(name: ByRegion, where: Where) -> str:
    return name if isinstance(name, str) else name[where.region]


def _probes(settings: ServiceSettings | Sidecar | PoolSettings) -> Body:
    found = {field: getattr(settings, name, None) for name, field in PROBES.items()}
    return {field: _probe(probe) for field, probe in found.items() if probe is not None}


def _probe(probe: Probe) -> Body:
    action: Body = given(port=probe.port)
    if probe.http is not None:
        headers = [{"name": name, "value": value} for name, value in probe.headers.items()]
        way: Body = {"httpGet": {"path": probe.http, **given(httpHeaders=headers), **action}}
    elif probe.grpc is not None:
        way = {"grpc": {**given(service=probe.grpc), **action}}
    else:
        way = {"tcpSocket": action}
    return way | spoken(PROBE, probe)

"""What a `gcloud run deploy`, or that of a job or a worker pool, asks for, as the body that it sends. Pure.

https://cloud.google.com/sdk/gcloud/reference/run/deploy
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tasks.describe.adopt.files.asked import Asked, Json, listed, pairs
from tasks.describe.adopt.files.settled import is_open
from tasks.describe.adopt.seen import Kind
from tasks.manifest.container import CLOUD_SQL
from tasks.manifest.values import parse_duration
from tasks.rollout.said import SEEN_AT, given
from tasks.rollout.words import GPU, SERVICE

INGRESS = next(word for word in SERVICE if word.key == "ingress").say
_TRUE = ("", "true", "True", "yes")
# Of the run and not of the service.
_PASSED_OVER = {
    "platform", "quiet", "q", "async", "no-async", "format", "verbosity", "account", "impersonate-service-account",
    "configuration", "billing-project", "no-traffic", "traffic", "revision-suffix", "tag", "to-latest",
    "clear-base-image", "log-http", "no-user-output-enabled", "user-output-enabled", "access-token-file", "no-build",
    "deploy-health-check", "no-deploy-health-check", "build-env-vars-file", "build-service-account",
    "build-worker-pool", "execute-now", "wait", "no-promote", "promote",
}  # fmt: skip
_TAKES_AWAY = ("clear-", "remove-")  # of what is there already


Flag = Callable[[Asked, str], None]


def asked(words: Sequence[str], kind: Kind = Kind.SERVICE) -> Asked:
    """words: after `run deploy`, `run jobs deploy` and so on."""
    found = Asked(kind)
    for name, value in _flags(words):
        if name is None:
            found.name = found.name or value
        elif name == "container":
            _container(found, value)
        elif flag := FLAGS.get(name):
            try:
                flag(found, value)
            except ValueError as error:
                found.told.append(f"--{name}={value}: {error}.")
        elif name not in _PASSED_OVER and not name.startswith(_TAKES_AWAY):
            found.told.append(f"--{name} {value}".rstrip() + ", which was not understood.")
    return found


def body(found: Asked) -> Json:
    """With what gcloud adds for a new service: more CPU at the start, and CPU during requests only."""
    if found.kind is not Kind.SERVICE:
        template = {**found.template, "containers": [found.main, *found.sidecars.values()]}
        if found.kind is Kind.JOB:
            labels = {"labels": template.pop("labels")} if "labels" in template else {}
            template = {**found.execution, **labels, "template": template}
        return {**found.service, "template": template}
    main = {**found.main, **({"name": found.named} if found.named else {})}
    gpu = GPU in main.get("resources", {}).get("limits", {})
    if gpu:
        found.template.setdefault("nodeSelector", {"accelerator": "nvidia-l4"})
    main["resources"] = {"cpuIdle": not gpu, "startupCpuBoost": True, **main.get("resources", {})}
    sidecars = [
        {**each, "resources": {"cpuIdle": True, **each.get("resources", {})}} for each in found.sidecars.values()
    ]
    return {**found.service, "template": {**found.template, "containers": [main, *sidecars]}}


def _flags(words: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    """Flags without dashes and their values; None for what is no flag's."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            yield None, word
            continue
        name, given_, value = word.lstrip("-").partition("=")
        alone = name in SWITCHES or name in _ALONE or name.startswith(("no-", "clear-"))
        if not given_ and not alone and rest and not rest[0].startswith("--"):
            value = rest.pop(0)
        yield name, value


def _container(found: Asked, name: str) -> None:
    """The first is the one that gets the requests if it has a port: so people write it."""
    found.named = found.named or name
    found.at = name


def _at(body: Json, path: str, value: Any) -> None:
    *way, last = path.split(".")
    for step in way:
        body = body.setdefault(step, {})
    body[last] = value


def _whole(text: str) -> int | str:
    """A number; what is open stays for whoever completes it, and `default` says nothing."""
    return int(text) if text.isdigit() else text if is_open(text) else _refused(text, "a number")


def _refused(text: str, what: str) -> Any:
    raise ValueError(f"{text} is no {what.removeprefix('a ')}")


def _of(place: str, path: str, read: Callable[[str], Any] = str) -> Flag:
    def flag(found: Asked, value: str) -> None:
        if value != "default" or place != "template":
            _at(getattr(found, place), path, read(value))

    return flag


def _switch(place: str, path: str, on: bool = True) -> Flag:
    return lambda found, value: _at(getattr(found, place), path, on if value in _TRUE else not on)


def _env(found: Asked, value: str) -> None:
    _variables(found, {name: {"value": text} for name, text in pairs(value).items()})


def _variables(found: Asked, new: Mapping[str, Json]) -> None:
    env = found.container.setdefault("env", [])
    env[:] = [each for each in env if each["name"] not in new]
    env += [{"name": name, **said} for name, said in new.items()]


def _secrets(found: Asked, value: str) -> None:
    for key, reference in pairs(value).items():
        secret, _, version = reference.rpartition(":") if ":" in reference else (reference, "", "latest")
        if not key.startswith("/"):
            _variables(found, {key: {"valueSource": {"secretKeyRef": {"secret": secret, "version": version}}}})
            continue
        folder, _, file = key.rpartition("/")
        name = f"secret-{len(found.template.setdefault('volumes', [])) + 1}"
        items = [{"path": file, "version": version}]
        found.template["volumes"].append({"name": name, "secret": {"secret": secret, "items": items}})
        found.container.setdefault("volumeMounts", []).append({"name": name, "mountPath": folder})


def _cloud_sql(found: Asked, value: str) -> None:
    instances = []
    for each in listed(value):
        parts = each.count(":")
        instances.append(each if parts >= 2 or is_open(each) else ":".join([found.project, found.region, each][parts:]))
    volumes = found.template.setdefault("volumes", [])
    if known := next((each["cloudSqlInstance"] for each in volumes if "cloudSqlInstance" in each), None):
        known["instances"] += instances
        return
    volumes.append({"name": CLOUD_SQL, "cloudSqlInstance": {"instances": instances}})
    found.main.setdefault("volumeMounts", []).append({"name": CLOUD_SQL, "mountPath": SEEN_AT})


def _network(key: str) -> Flag:
    def flag(found: Asked, value: str) -> None:
        interfaces = found.template.setdefault("vpcAccess", {}).setdefault("networkInterfaces", [{}])
        interfaces[0][key] = listed(value) if key == "tags" else value

    return flag


def _probe(kind: str) -> Flag:
    def flag(found: Asked, value: str) -> None:
        said: Json = {}
        for key, text in pairs(value).items():
            _at(said, key, int(text) if text.isdigit() else text)
        found.container[kind] = said

    return flag


def _volume(found: Asked, value: str) -> None:
    said = pairs(value)
    kind, name = said.pop("type", ""), said.pop("name", "")
    read_only = {"readOnly": True} if said.get("readonly") == "true" else {}
    match kind:
        case "secret":
            items = [{"path": said.get("path", said.get("secret", "")), "version": said.get("version", "latest")}]
            made: Json = {"secret": {"secret": said.get("secret", ""), "items": items}}
        case "in-memory":
            made = {"emptyDir": given(medium="MEMORY", sizeLimit=said.get("size-limit"))}
        case "cloud-storage":
            options = said.get("mount-options", "")
            made = {
                "gcs": given(
                    bucket=said.get("bucket"), mountOptions=options.split(";") if options else None, **read_only
                )
            }
        case "nfs":
            server, _, path = said.get("location", "").partition(":")
            made = {"nfs": {"server": server, "path": path, **read_only}}
        case "cloudsql":
            made = {"cloudSqlInstance": {"instances": said.get("instances", "").split(";")}}
        case _:
            raise ValueError(f"volumes of type {kind} are not known")
    found.template.setdefault("volumes", []).append({"name": name, **made})


def _mount(found: Asked, value: str) -> None:
    said = pairs(value)
    mount = {"name": said.get("volume", ""), "mountPath": said.get("mount-path", "")}
    found.container.setdefault("volumeMounts", []).append(mount)


def _port(found: Asked, value: str) -> None:
    if value != "default":
        found.named = found.at or found.named
        if found.at in found.sidecars:
            found.main = {**found.sidecars.pop(found.at), **found.main}
        found.main.setdefault("ports", [{}])[0]["containerPort"] = _whole(value)


def _http2(found: Asked, value: str) -> None:
    if value in _TRUE:
        found.main.setdefault("ports", [{}])[0]["name"] = "h2c"


def _public(on: bool) -> Flag:
    def flag(found: Asked, value: str) -> None:
        found.public = on if value in _TRUE else not on

    return flag


def _scaling(found: Asked, value: str) -> None:
    if value != "auto":
        found.service["scaling"] = {"scalingMode": "MANUAL", "manualInstanceCount": _whole(value)}


def _timeout(text: str) -> str:
    return text if is_open(text) else f"{parse_duration(f'{text}s' if text.isdigit() else text):g}s"


def _policy(found: Asked, value: str) -> None:
    found.service["binaryAuthorization"] = {"useDefault": True} if value == "default" else {"policy": value}


def _labels(found: Asked, value: str) -> None:
    """gcloud gives them to the service and to its revisions."""
    for body in (found.service, found.template):
        body.setdefault("labels", {}).update(pairs(value))


def _dependencies(found: Asked, value: str) -> None:
    found.container["dependsOn"] = listed(value)


def _gpu(found: Asked, value: str) -> None:
    found.main.setdefault("resources", {}).setdefault("limits", {})[GPU] = value


def generation(text: str) -> str:
    """The execution environment, as v2 calls it."""
    return f"EXECUTION_ENVIRONMENT_{text.upper()}"


def egress(text: str) -> str:
    """What goes by the network, as v2 calls it."""
    return "ALL_TRAFFIC" if text.startswith("all") else "PRIVATE_RANGES_ONLY"


def _ingress(text: str) -> str:
    try:
        return text if is_open(text) else str(INGRESS(text))
    except KeyError:
        raise ValueError("it is none of all, internal and internal-and-cloud-load-balancing") from None


def _zone(found: Asked, value: str) -> None:
    found.region = found.region or value


def _field(key: str) -> Flag:
    return lambda found, value: setattr(found, key, value)


SWITCHES: dict[str, Flag] = {
    "allow-unauthenticated": _public(True),
    "cpu-throttling": _switch("container", "resources.cpuIdle"),
    "cpu-boost": _switch("container", "resources.startupCpuBoost"),
    "session-affinity": _switch("template", "sessionAffinity"),
    "use-http2": _http2,
    "iap": _switch("service", "iapEnabled"),
    "invoker-iam-check": _switch("service", "invokerIamDisabled", False),
    "default-url": _switch("service", "defaultUriDisabled", False),
    "gpu-zonal-redundancy": _switch("template", "gpuZonalRedundancyDisabled", False),
}
_ALONE = {"quiet", "q", "async", "execute-now", "wait", "promote", "to-latest", "log-http"}
FLAGS: dict[str, Flag] = {
    **SWITCHES,
    "no-allow-unauthenticated": _public(False),
    "no-cpu-throttling": _switch("container", "resources.cpuIdle", False),
    "no-cpu-boost": _switch("container", "resources.startupCpuBoost", False),
    "no-session-affinity": _switch("template", "sessionAffinity", False),
    "no-use-http2": lambda found, value: None,
    "no-iap": _switch("service", "iapEnabled", False),
    "no-invoker-iam-check": _switch("service", "invokerIamDisabled"),
    "no-default-url": _switch("service", "defaultUriDisabled"),
    "no-gpu-zonal-redundancy": _switch("template", "gpuZonalRedundancyDisabled"),
    "project": _field("project"),
    "region": _field("region"),
    "source": _field("source"),
    "image": _of("container", "image"),
    "port": _port,
    "memory": _of("container", "resources.limits.memory"),
    "cpu": _of("container", "resources.limits.cpu"),
    "gpu": _gpu,
    "gpu-type": lambda found, value: _at(found.template, "nodeSelector.accelerator", value),
    "min-instances": _of("template", "scaling.minInstanceCount", _whole),
    "max-instances": _of("template", "scaling.maxInstanceCount", _whole),
    "min": _of("service", "scaling.minInstanceCount", _whole),
    "max": _of("service", "scaling.maxInstanceCount", _whole),
    "scaling": _scaling,
    "instances": lambda found, value: _at(found.service, "scaling.manualInstanceCount", _whole(value)),
    "tasks": _of("execution", "taskCount", _whole),
    "parallelism": _of("execution", "parallelism", _whole),
    "max-retries": _of("template", "maxRetries", _whole),
    "task-timeout": _of("template", "timeout", _timeout),
    "concurrency": _of("template", "maxInstanceRequestConcurrency", _whole),
    "timeout": _of("template", "timeout", _timeout),
    "service-account": _of("template", "serviceAccount"),
    "execution-environment": _of("template", "executionEnvironment", generation),
    "vpc-connector": _of("template", "vpcAccess.connector"),
    "vpc-egress": _of("template", "vpcAccess.egress", egress),
    "network": _network("network"),
    "subnet": _network("subnetwork"),
    "network-tags": _network("tags"),
    "key": _of("template", "encryptionKey"),
    "ingress": _of("service", "ingress", _ingress),
    "description": _of("service", "description"),
    "binary-authorization": _policy,
    "add-custom-audiences": _of("service", "customAudiences", listed),
    "set-custom-audiences": _of("service", "customAudiences", listed),
    "command": _of("container", "command", listed),
    "args": _of("container", "args", listed),
    "workdir": _of("container", "workingDir"),
    "depends-on": _dependencies,
    "add-volume": _volume,
    "add-volume-mount": _mount,
    "env-vars-file": lambda found, value: found.files.append(value),
    **dict.fromkeys(("set-env-vars", "update-env-vars"), _env),
    **dict.fromkeys(("set-secrets", "update-secrets"), _secrets),
    **dict.fromkeys(("labels", "update-labels"), _labels),
    **dict.fromkeys(("add-cloudsql-instances", "set-cloudsql-instances"), _cloud_sql),
    **{f"{kind}-probe": _probe(f"{kind}Probe") for kind in ("startup", "liveness", "readiness")},
}  # fmt: skip

"""Settings of slipway.yaml that are one field of Cloud Run's API each: one table, read in both directions. Pure.

`said` goes from slipway.yaml to the API, `heard` back. What consists of more than one field is said there in words.
https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.manifest.values import format_duration
from tasks.spec.values import own_account

GPU = "nvidia.com/gpu"  # among the limits of a container
PROBES = {"startup_probe": "startupProbe", "liveness_probe": "livenessProbe", "readiness_probe": "readinessProbe"}


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Word:
    """A setting, as a field of the manifest's class and as a path of the API."""

    key: str
    path: str
    usual: object = None  # what a new service has of which slipway.yaml does not say it, as slipway.yaml has it
    say: Callable[[Any], Any] = _as_it_is  # from the manifest's value; the value is given
    hear: Callable[[Any], Any] = _as_it_is  # to what one writes; ValueError for what cannot be said


def _choices(names: Mapping[str, str], key: str, path: str, usual: object = None) -> Word:
    """names: the API's word by ours."""
    ours = {theirs: name for name, theirs in names.items()}

    def hear(value: str) -> str:
        if value not in ours:
            raise ValueError(f"{value} has no word in slipway.yaml")
        return ours[value]

    return Word(key, path, usual, names.__getitem__, hear)


def _no(value: bool) -> bool:
    return not value


def memory(value: str) -> str:
    """In the units that slipway.yaml takes, of those of Kubernetes; ValueError for less than they can say."""
    units = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 1000, "M": 10**6, "G": 10**9, "": 1}
    unit = next(unit for unit in units if value.endswith(unit))
    if unit in ("Mi", "Gi", "M", "G"):
        return value
    size = int(value.removesuffix(unit)) * units[unit]
    if found := next((name for name in ("Gi", "Mi", "M") if size and size % units[name] == 0), None):
        return f"{size // units[found]}{found}"
    raise ValueError(f"{value} is no whole number of megabytes")


def cpu(value: str) -> int | float | str:
    """As it is written: 1000m is what Google fills in, and 1 what somebody has said."""
    text = str(value)
    number = float(text.removesuffix("m"))
    plain = int(number) if number.is_integer() else number
    return plain if str(plain) == text else text


def seconds(value: float) -> str:
    return f"{value:g}s"


def duration(value: Any) -> str:
    return format_duration(float(str(value).removesuffix("s")))


def _protocol(http2: bool) -> str:
    return "h2c" if http2 else "http1"


def _is_http2(name: str) -> bool:
    if name not in ("h2c", "http1"):
        raise ValueError(f"{name} has no word in slipway.yaml")
    return name == "h2c"


INGRESSES = {
    "all": "INGRESS_TRAFFIC_ALL",
    "internal": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "internal-and-cloud-load-balancing": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
}
_LIST = (list, list)
SERVICE = (
    Word("description", "description"),
    _choices(INGRESSES, "ingress", "ingress", "all"),
    Word("invoker_iam_check", "invokerIamDisabled", True, _no, _no),
    Word("iap", "iapEnabled", False),
    Word("default_url", "defaultUriDisabled", True, _no, _no),
    Word("custom_audiences", "customAudiences", None, *_LIST),
)
TEMPLATE = (
    Word("min_instances", "scaling.minInstanceCount", 0, hear=int),
    Word("max_instances", "scaling.maxInstanceCount", 100, hear=int),
    Word("concurrency", "maxInstanceRequestConcurrency", 0, hear=int),
    Word("timeout_s", "timeout", "5m", seconds, duration),
    Word("service_account", "serviceAccount", "", hear=own_account),
    _choices(
        {name: f"EXECUTION_ENVIRONMENT_{name.upper()}" for name in ("gen1", "gen2")},
        "execution_environment",
        "executionEnvironment",
    ),
    Word("session_affinity", "sessionAffinity", False),
    Word("encryption_key", "encryptionKey"),
)
CONTAINER = (
    Word("command", "command", None, *_LIST),
    Word("args", "args", None, *_LIST),
    Word("working_dir", "workingDir"),
    Word("cpu", "resources.limits.cpu", "1000m", hear=cpu),
    Word("memory", "resources.limits.memory", "512Mi", hear=memory),
    Word("cpu_throttling", "resources.cpuIdle", True),
)
MAIN = (
    Word("container", "name"),
    Word("port", "ports.containerPort", 8080, hear=int),
    Word("http2", "ports.name", False, _protocol, _is_http2),
    Word("cpu_boost", "resources.startupCpuBoost", True),
    Word("starts_after", "dependsOn", None, *_LIST),
)
SIDECAR = (
    Word("image", "image"),
    Word("cpu_boost", "resources.startupCpuBoost", False),
    Word("depends_on", "dependsOn", None, *_LIST),
)
PROBE = (
    Word("initial_delay", "initialDelaySeconds", "0s", int, duration),
    Word("period", "periodSeconds", "10s", int, duration),
    Word("timeout", "timeoutSeconds", "1s", int, duration),
    Word("failure_threshold", "failureThreshold", 3, hear=int),
)

"""The small types that slipway.yaml is written in: durations, names, paths, secrets.

Each says in words what it accepts, and shows the same to editors through the JSON Schema.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from tasks.names.naming import GIVEN_LIMIT

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
_GOOGLES = ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")
_VARIABLE = "[A-Za-z_.-][A-Za-z0-9_.-]*"  # as Kubernetes has them, which Cloud Run follows
_RESERVED = "is set by Cloud Run itself and cannot be given"
_OF_CLOUD_RUN = ("K_SERVICE", "K_REVISION", "K_CONFIGURATION")
_REFERENCE = r"((?:projects/[a-z0-9-]{4,63}/secrets/)?[A-Za-z0-9_-]{1,255})(?::([1-9][0-9]*))?"
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}.*)?")
TAG, REGION = "{tag}", "{region}"  # in the address of a probe
DURATION_SCHEMA = {"type": ["string", "number"], "pattern": f"^{_DURATION.pattern}$", "minimum": 0}


@dataclass(frozen=True, slots=True)
class Matching:
    """Restricts a text to what `pattern` matches wholly; `meaning` completes the sentence "must be …"."""

    pattern: str
    meaning: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"pattern": f"^(?:{self.pattern})$"}

    def _check(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text, re.ASCII):
            raise ValueError(f"must be {self.meaning}")
        return text


class OneOrMore:
    """Marks a list that may be written as its only item: `regions: europe-west1` is [europe-west1]."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        listed = handler(schema)
        return {"anyOf": [listed["items"], listed]}


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str | int | float) else value


def parse_duration(value: object) -> float:
    """Seconds of "30s", "2m", "24h", "90d" or of a number of seconds; ValueError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError("must be a duration like 30s, 2m, 24h or 90d")
    return float(found[1]) * _SECONDS[found[2]]


def format_duration(seconds: float) -> str:
    """The shortest way to write a duration: 120 s is "2m"."""
    unit = next((unit for unit in "dhm" if seconds and seconds % _SECONDS[unit] == 0), "s")
    return f"{seconds / _SECONDS[unit]:.15g}{unit}"


def between(least: str, most: str) -> AfterValidator:
    """Bounds for a duration, both included."""

    def check(seconds: float) -> float:
        if not parse_duration(least) <= seconds <= parse_duration(most):
            raise ValueError(f"must be from {least} to {most}")
        return seconds

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A secret of Secret Manager, and the version of it; None means the newest enabled one when it is deployed."""

    name: str  # in full for another project's
    version: int | None = None

    def place(self, project: str) -> tuple[str, str]:
        """Its project, which is `project` unless it says another, and its short name."""
        *path, name = self.name.split("/")
        return (path[1] if path else project), name

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}:{self.version}"


def _secret(value: object) -> SecretRef:
    found = re.fullmatch(_REFERENCE, value) if isinstance(value, str) else None
    if not found:
        raise ValueError(
            "must be the name of a secret, or name:7 for a version of it by number; without a number the newest "
            "enabled version is looked up and pinned when it is deployed; projects/PROJECT/secrets/NAME is another "
            "project's"
        )
    return SecretRef(found[1], int(found[2]) if found[2] else None)


def _inside(path: str) -> str:
    clean = posixpath.normpath(path)
    if not path or clean.startswith(("/", "../")) or clean == ".." or "\\" in path or not path.isprintable():
        raise ValueError("must be a path inside the repository, relative and without '..'")
    return clean


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _variable_or_file(key: str) -> str:
    """Google keeps /dev, /proc and /sys: https://cloud.google.com/run/docs/configuring/services/secrets"""
    if not key.startswith("/"):
        if not re.fullmatch(_VARIABLE, key, re.ASCII):
            raise ValueError("must be a variable, or the absolute path of a file like /secrets/key")
        return _unreserved(key)
    clean = posixpath.normpath(key)
    if clean != key or clean.count("/") < 2 or clean.split("/")[1] in ("dev", "proc", "sys"):
        raise ValueError(
            "must be the path of a file in a folder of its own, like /secrets/key, not in /dev, /proc, /sys"
        )
    return key


def _unreserved(name: str) -> str:
    if name == "PORT":
        raise ValueError(_RESERVED)
    return _not_of_the_system(name)


def _not_of_the_system(name: str) -> str:
    if name in _OF_CLOUD_RUN or name.startswith("X_GOOGLE_"):
        raise ValueError(_RESERVED)
    return name


def _moment(value: object) -> object:
    """pydantic would read a number, even one in quotes, as the seconds since 1970: 20261220 would be in August 1970."""
    if isinstance(value, date):  # what Python code gives, and a datetime is one
        return value
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError("must be a date like 2026-12-20 or a moment like 2026-12-20T18:00:00")
    return value


def _not_googles(key: str) -> str:
    """https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services, labels and annotations"""
    namespace = key.partition("/")[0] if "/" in key else ""
    if any(namespace == each or namespace.endswith(f".{each}") for each in _GOOGLES):
        raise ValueError(f"is kept by Google ({namespace}); say what it stands for with its own key")
    if key.startswith("slipway-") or key == "managed-by":
        raise ValueError("is how a release marks what it has made")
    return key


def _not_of_a_domain(project: str) -> str:
    if ":" in project:
        raise ValueError(
            "is the project of a domain; such projects (example.com:shop) are not supported: their ids cannot stand in "
            "the names of images and buckets. Give a project without a domain"
        )
    return project


def _unreserved_path(path: str) -> str:
    """https://cloud.google.com/run/docs/known-issues#reserved_url_paths"""
    asked = re.split("[?#]", path)[0]
    if asked.endswith("z") or asked == "/eventlog" or asked.startswith("/_ah/"):
        raise ValueError(
            "is kept by Google: paths that end in z, /eventlog and /_ah/… may never reach the container, so it could "
            "never be healthy; use another, like /health"
        )
    return path


def _probe_url(url: str) -> str:
    if re.search(r"[{}?#]", url.replace(TAG, "").replace(REGION, "")):
        raise ValueError(f"may have {TAG} and {REGION} in it, and neither query nor fragment")
    return url.rstrip("/")


def _cron(expression: str) -> str:
    try:
        if len(expression.split()) != 5:
            raise CronSimError("five fields are needed")
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"must be a cron expression like '0 18 * * FRI' ({error})") from None
    return expression


def choice(key: str) -> Callable[[object], str]:
    """Tells two forms of a value apart: "<key>" for the one that has the key, "<other>" for the other."""
    return lambda value: f"<{key}>" if (isinstance(value, dict) and key in value) or hasattr(value, key) else "<other>"


def _increasing(steps: tuple[int, ...]) -> tuple[int, ...]:
    if list(steps) != sorted(set(steps)):
        raise ValueError("must increase from step to step; the last step, 100, goes without saying")
    return steps


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone like Europe/Zurich or UTC") from None
    return name


_NAME = "lower-case letters, digits and hyphens, with a letter first and no hyphen last"

Name = Annotated[str, Matching(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", _NAME)]
RunName = Annotated[
    str,
    Matching(
        rf"[a-z]([a-z0-9-]{{0,{GIVEN_LIMIT - 2}}}[a-z0-9])?",
        f"{_NAME}, at most {GIVEN_LIMIT}",
    ),
]
Project = Annotated[
    str,
    AfterValidator(_not_of_a_domain),
    Matching(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "the id of a Google Cloud project, like acme-prod"),
]
Region = Annotated[str, Matching(r"[a-z]+-[a-z]+[0-9]+", "a region, like europe-west1")]
Bucket = Annotated[str, Matching(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", "the name of a bucket, without gs://")]
ACCOUNT_ID = r"[a-z][a-z0-9-]{4,28}[a-z0-9]"  # https://cloud.google.com/iam/docs/service-accounts-create
Account = Annotated[
    str,
    Matching(
        rf"{ACCOUNT_ID}|[a-z0-9][a-z0-9.-]*@[a-z0-9.-]+",
        "a service account: its e-mail address, or what comes before the @ for one of the environment's project",
    ),
]
Memory = Annotated[str, Matching(r"[1-9][0-9]*(\.[0-9]+)?(Mi|Gi|M|G)", "an amount of memory, like 512Mi or 2Gi")]
Cpu = Annotated[
    str,
    BeforeValidator(_number_as_text, json_schema_input_type=str | float),
    Matching(r"[0-9]+(\.[0-9]+)?|[0-9]+m", "a number of CPUs, like 1, 0.5 or 500m"),
]
_SHAPED = Matching(_VARIABLE, "letters, digits, _, . and -, no digit first")
Variable = Annotated[str, _SHAPED, AfterValidator(_unreserved)]
SidecarVariable = Annotated[str, _SHAPED, AfterValidator(_not_of_the_system)]  # nobody sets PORT there
BuildArgument = Annotated[str, _SHAPED]
SecretKey = Annotated[
    str, AfterValidator(_variable_or_file), WithJsonSchema({"type": "string", "pattern": f"^({_VARIABLE}|/.+/.+)$"})
]
LabelKey = Annotated[
    str,
    AfterValidator(_not_googles),
    Matching(r"[a-z][a-z0-9_-]{0,62}", "lower-case letters, digits, _ and -, a letter first, at most 63"),
]
LabelValue = Annotated[
    str,
    BeforeValidator(_number_as_text, json_schema_input_type=str | float),
    Matching(r"[a-z0-9_-]{0,63}", "lower-case letters, digits, _ and -, at most 63"),
]
AnnotationKey = Annotated[
    str,
    AfterValidator(_not_googles),
    Matching(r"([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", "a key like example.com/owner"),
]
CloudSql = Annotated[
    str, Matching(r"([a-z0-9.-]+:)?[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]+", "an instance as project:region:name")
]
EncryptionKey = Annotated[
    str,
    Matching(
        r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+",
        "projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY",
    ),
]
Url = Annotated[str, Matching(r"https?://[^\s/]+\S*", "an http:// or https:// address")]
ProbeUrl = Annotated[Url, AfterValidator(_probe_url)]
HealthPath = Annotated[str, Matching(r"/[!-~]*", "a path that starts with /"), AfterValidator(_unreserved_path)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
MachineType = Annotated[str, Matching("[A-Z0-9]+(_[A-Z0-9]+)+", "a Cloud Build machine type, like E2_HIGHCPU_8")]
RelativePath = Annotated[str, AfterValidator(_inside)]
Cron = Annotated[str, AfterValidator(_cron)]
TimeZone = Annotated[str, AfterValidator(_known_timezone)]
Status = Annotated[int, Field(ge=100, le=599)]
Steps = Annotated[
    tuple[Annotated[int, Field(ge=1, le=99)], ...], Field(min_length=1), AfterValidator(_increasing), OneOrMore()
]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(DURATION_SCHEMA),
]
Secret = Annotated[
    SecretRef,
    BeforeValidator(_secret),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_REFERENCE}$"}),
]


class Strict(BaseModel):
    """Frozen, and without room for keys that do not exist."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

"""What slipway.yaml may say about services and environments; every description here is the reference for its key."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema

from tasks.manifest.values import (
    Account,
    Bucket,
    Cpu,
    Cron,
    Duration,
    MachineType,
    Memory,
    Name,
    Project,
    Region,
    RelativePath,
    Secret,
    Status,
    Steps,
    TimeZone,
    Url,
    UrlPath,
    Variable,
    between,
    choice,
)

Kind = Literal["release", "prerelease", "development"]

# Keys that nobody can write: the manifest fills them in from what stands around the value.
OWN_NAME = "<name>"
APP_NAME = "<app>"


class Strict(BaseModel):
    """Frozen, and without room for keys that do not exist."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Health(Strict):
    """When a new revision counts as healthy; it is asked on its own URL before it gets traffic."""

    path: UrlPath = Field("/", description="What to ask for.")
    status: tuple[Status, ...] = Field((200, 204), min_length=1, description="Accepted status codes.")
    body: str | None = Field(None, description="Text that the answer must contain.")
    tries: int = Field(5, ge=1, le=20, description="Attempts before the revision counts as unhealthy.")
    timeout_s: Annotated[Duration, between("1s", "5m")] = Field(30.0, alias="timeout", description="Per attempt.")
    backoff_min_s: Duration = Field(2.0, alias="backoff_min", description="First wait between attempts.")
    backoff_max_s: Duration = Field(32.0, alias="backoff_max", description="Longest wait between attempts.")
    samples: int = Field(20, ge=1, le=100, description="Accepted requests in a row that make it healthy.")


class BuildSettings(Strict):
    """How Cloud Build makes the image."""

    machine_type: MachineType | None = Field(None, description="What it builds on. Default: Cloud Build's own.")
    timeout_s: Annotated[Duration, between("1s", "24h")] = Field(1200.0, alias="timeout", description="Of the build.")
    step_timeout_s: Annotated[Duration, between("1s", "24h")] = Field(
        600.0, alias="step_timeout", description="Of each of its steps."
    )
    args: dict[Variable, str] = Field({}, description="Build arguments (docker build --build-arg).")


class Runtime(Strict):
    """How a service runs. Under an environment: only what differs there; env and secrets are merged by key."""

    memory: Memory = Field("512Mi", description="Per instance.")
    cpu: Cpu = Field("1", description="Per instance.")
    min_instances: int = Field(0, ge=0, description="Kept running without traffic.")
    max_instances: int = Field(100, ge=1, description="At most, however much traffic there is.")
    concurrency: int = Field(80, ge=1, le=1000, description="Requests at a time per instance.")
    public: bool = Field(False, description="Everybody may call it (allUsers become invokers).")
    env: dict[Variable, str] = Field({}, description="Environment variables.")
    secrets: dict[Variable, Secret] = Field(
        {},
        description="Environment variables from Secret Manager: the name of a secret, whose newest enabled version is "
        "looked up at deploy time and pinned into the revision by number, or name:7 for that version.",
    )


class ServiceSettings(Runtime):
    """One container image and the Cloud Run service it runs as."""

    name: SkipJsonSchema[Name] = Field(alias=OWN_NAME)
    source: RelativePath = Field(
        default_factory=lambda fields: fields["name"],
        description="Folder in the repository. Default: the service's name.",
    )
    dockerfile: RelativePath = Field("Dockerfile", description="Below source; if there is none, buildpacks build it.")
    port: int = Field(8080, ge=1, le=65535, description="Where the container listens; it gets it as $PORT.")
    timeout_s: Annotated[Duration, between("1s", "60m")] = Field(300.0, alias="timeout", description="Per request.")
    service_account: Account | None = Field(None, description="Runs as. Default: the environment's.")
    depends_on: tuple[Name, ...] = Field(
        (), description="Services that are deployed before; each one's URL is in $<NAME>_URL."
    )
    health: Health = Field(default_factory=Health, description="When a new revision counts as healthy.")
    build: BuildSettings = Field(default_factory=BuildSettings, description="How Cloud Build makes the image.")


class Canary(Strict):
    """Traffic moves in steps, each kept until it is proven."""

    canary: Steps = Field(description="Percent of the traffic, step by step, up to the 100 that follows.")
    bake_s: Duration = Field(120.0, alias="bake", description="How long each step is watched.")


def _plain_strategy(value: object) -> object:
    if value not in ("direct", "blue_green"):
        raise ValueError("must be direct, blue_green or {canary: [5, 25, 50], bake: 2m}")
    return value


PlainStrategy = Annotated[Literal["direct", "blue_green"], BeforeValidator(_plain_strategy)]
Strategy = Annotated[
    Annotated[Canary, Tag("<canary>")] | Annotated[PlainStrategy, Tag("<other>")], Discriminator(choice("canary"))
]


class _Freeze(Strict):
    timezone: TimeZone = Field("UTC", description="Of times that do not name their own.")
    reason: str = Field("", description="Shown to whoever is kept waiting.")


class FreezeDates(_Freeze):
    """No release from one moment to another."""

    start: datetime = Field(alias="from", description="2026-12-20T18:00:00 or 2026-12-20.")
    end: datetime = Field(alias="to", description="The first moment after the freeze.")

    @field_validator("start", "end")
    @classmethod
    def _in_timezone(cls, moment: datetime, info: ValidationInfo) -> datetime:
        return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(info.data.get("timezone", "UTC")))


class FreezeCron(_Freeze):
    """No release for a while, again and again."""

    cron: Cron = Field(description="When it begins: minute hour day month weekday.")
    duration_s: Annotated[Duration, between("1m", "366d")] = Field(alias="duration", description="How long it lasts.")


Freeze = Annotated[
    Annotated[FreezeCron, Tag("<cron>")] | Annotated[FreezeDates, Tag("<other>")], Discriminator(choice("cron"))
]


class HttpCall(Strict):
    """A request that must be answered as expected."""

    url: Url = Field(description="What to call.")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="HTTP method.")
    headers: dict[str, str] = Field({}, description="Request headers; not the place for secrets.")
    timeout_s: Annotated[Duration, between("1s", "60m")] = Field(30.0, alias="timeout", description="Of the call.")
    status: tuple[Status, ...] = Field((200, 201, 202, 204), min_length=1, description="Accepted status codes.")


class JobRun(Strict):
    """An execution of a Cloud Run job that must succeed."""

    name: Name = Field(description="Of the job in Cloud Run.")
    region: Region | None = Field(None, description="Default: the environment's first.")
    timeout_s: Annotated[Duration, between("1s", "7d")] = Field(600.0, alias="timeout", description="Of the execution.")


class HttpHook(Strict):
    """An HTTP call before or after the release."""

    name: str = Field(min_length=1, description="Shown in the run.")
    http: HttpCall = Field(description="The request.")


class JobHook(Strict):
    """A Cloud Run job before or after the release."""

    name: str = Field(min_length=1, description="Shown in the run.")
    job: JobRun = Field(description="The execution.")


Hook = Annotated[Annotated[JobHook, Tag("<job>")] | Annotated[HttpHook, Tag("<other>")], Discriminator(choice("job"))]


class Slo(Strict):
    """What a revision with traffic is held to."""

    max_error_rate: float = Field(0.01, ge=0, le=1, description="Share of answers that are server errors.")
    min_requests: int = Field(100, ge=1, description="Fewer say nothing: the verdict is INCONCLUSIVE.")
    metrics_lag_s: Duration = Field(
        180.0, alias="metrics_lag", description="How late requests show up in Cloud Monitoring: up to 3 minutes."
    )


StageLimit = Annotated[Duration, between("1s", "7d")]


class Timeouts(Strict):
    """How long each stage of a run may take, and the run as a whole; a stage that takes longer fails the run."""

    preflight_s: StageLimit = Field(180.0, alias="preflight", description="All checks.")
    version_s: StageLimit = Field(300.0, alias="version", description="Asking git.")
    create_s: StageLimit = Field(900.0, alias="create", description="Creating what is missing.")
    build_s: StageLimit = Field(7200.0, alias="build", description="All builds, in the queue and repeated too.")
    deploy_s: StageLimit = Field(1800.0, alias="deploy", description="A wave's candidates, until they are ready.")
    prove_s: StageLimit = Field(1800.0, alias="prove", description="A wave's health proofs.")
    shift_s: StageLimit = Field(86400.0, alias="shift", description="A wave's traffic, its bake times included.")
    clean_up_s: StageLimit = Field(900.0, alias="clean_up", description="After the release.")
    total_s: StageLimit = Field(172800.0, alias="total", description="The run, with all that it waits for.")

    def of(self, stage: str) -> float:
        """Seconds, by the stage's name as the run shows it."""
        return float(getattr(self, f"{stage.replace(' ', '_')}_s"))


class Environment(Strict):
    """A Google Cloud project with its regions, and how releases reach it."""

    name: SkipJsonSchema[Name] = Field(alias=OWN_NAME)
    app: SkipJsonSchema[Name] = Field(alias=APP_NAME)
    project: Project = Field(description="Google Cloud project id.")
    regions: tuple[Region, ...] = Field(min_length=1, description="The first one builds and keeps the images.")
    waves: tuple[tuple[Region, ...], ...] = Field(
        default_factory=lambda fields: tuple((region,) for region in fields["regions"]),
        description="Regions that are released together, wave after wave. Default: one by one in their order.",
    )
    production: bool = Field(
        default_factory=lambda fields: fields["name"] in ("production", "prod"),
        description="Takes only what is committed, and `ship` brings releases here. Default: whether its name is "
        "production or prod.",
    )
    accepts: tuple[Kind, ...] = Field(
        default_factory=lambda fields: (
            ("release",) if fields["production"] else ("release", "prerelease", "development")
        ),
        min_length=1,
        description="Versions that may be released here. Default: in production releases only, elsewhere all.",
    )
    strategy: Strategy = Field("direct", description="How traffic moves to a proven revision.")
    approval: Literal["none", "required"] = Field("none", description="Whether a person must agree.")
    approval_timeout_s: Annotated[Duration, between("10s", "30d")] = Field(
        86400.0, alias="approval_timeout", description="How long to wait for that person."
    )
    freeze: tuple[Freeze, ...] = Field((), description="When nothing is released.")
    slo: Slo = Field(default_factory=Slo, description="What a revision with traffic is held to.")
    on_inconclusive: Literal["wait", "pause", "rollback"] = Field(
        "wait",
        description="When a step has baked and the evidence does not suffice: wait for more and then go back, wait and "
        "then ask a person, or go back at once.",
    )
    inconclusive_limit_s: Duration = Field(
        900.0, alias="inconclusive_limit", description="How long to wait for more, after the bake."
    )
    when_busy: Literal["wait", "refuse"] = Field("wait", description="While another run is at work here.")
    busy_timeout_s: Duration = Field(1800.0, alias="busy_timeout", description="How long to wait for that run.")
    timeouts: Timeouts = Field(default_factory=Timeouts, description="How long each stage may take.")
    before: tuple[Hook, ...] = Field((), description="What must succeed before anything is deployed.")
    after: tuple[Hook, ...] = Field((), description="What must succeed for the release to stay.")
    repository: Name = Field(
        default_factory=lambda fields: fields["app"], description="In Artifact Registry. Default: the app's name."
    )
    bucket: Bucket = Field(
        default_factory=lambda fields: f"{fields['project']}-slipway",
        description="For sources, logs and the history. Default: <project>-slipway.",
    )
    create_apis: bool = Field(False, description="Enable APIs that are missing instead of asking for them.")
    service_account: Account | None = Field(
        None, description="What services run as that do not say. Default: the project's Compute Engine account."
    )
    env: dict[Variable, str] = Field({}, description="For every service; a service's own under services wins.")
    services: dict[Name, Runtime] = Field({}, description="What differs for single services here.")

    @property
    def steps(self) -> tuple[int, ...]:
        """A canary's percentages on the way to all traffic; none for the other strategies."""
        return tuple(self.strategy.canary) if isinstance(self.strategy, Canary) else ()

    @property
    def bake_s(self) -> float:
        """How long each step is watched at least."""
        return self.strategy.bake_s if isinstance(self.strategy, Canary) else 0.0


class Retention(Strict):
    """What clean-up keeps and how much it may take away at once."""

    keep: int = Field(10, ge=1, description="Newest images of each service that stay whatever their age.")
    max_age_s: Duration = Field(7776000.0, alias="max_age", description="Older ones may go.")
    protect: tuple[str, ...] = Field((), description="Globs of names that are never touched.")
    foreign: Literal["report", "delete"] = Field("report", description="What to do with what this app does not define.")
    max_items: int = Field(50, ge=1, description="More than this at once is refused.")
    max_percent: int = Field(20, ge=1, le=100, description="A larger share than this at once is refused.")


class DriftSettings(Strict):
    """How deployed and described configuration are compared."""

    ignore: tuple[str, ...] = Field((), description="Paths of fields that others may change.")

"""What slipway.yaml may say about services, jobs and pools; every description here is the reference for its key."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from tasks.manifest.container import Probe, Scaling, ServiceGpu, Sidecar, Volume, Vpc
from tasks.manifest.images import BuildTarget, BuiltImage, SecretId, WorkerPool
from tasks.manifest.jobs import JobRuntime, PoolRuntime
from tasks.manifest.members import Members
from tasks.manifest.values import (
    Account,
    AnnotationKey,
    BuildArgument,
    CloudSql,
    Cpu,
    Duration,
    EncryptionKey,
    HealthPath,
    LabelKey,
    LabelValue,
    MachineType,
    Memory,
    Name,
    OneOrMore,
    ProbeUrl,
    RelativePath,
    RunName,
    Secret,
    SecretKey,
    SecretRef,
    Status,
    Strict,
    Variable,
    between,
)
from tasks.names.naming import url_variable

Kind = Literal["release", "prerelease", "development"]

# Keys that nobody can write: the manifest fills them in from what stands around the value.
OWN_NAME = "<name>"
APP_NAME = "<app>"
PROBER = "<prober>"


class Health(Strict):
    """When a new revision counts as healthy; it is asked on its own URL before it gets traffic."""

    path: HealthPath = Field(
        "/", description="What to ask for. Google keeps paths that end in z, such as /healthz, for itself."
    )
    url: ProbeUrl | None = Field(
        None,
        description="Before the path, instead of the revision's own URL: for services that only a network or a load "
        "balancer lets in. {tag} stands for the revision's tag, as a load balancer's URL mask takes it, and {region} "
        "for its region. Without {tag} it is asked once it has traffic. A private network has to be in the worker's "
        "SLIPWAY_HOOK_NETWORKS.",
    )
    audience: str | None = Field(
        None,
        min_length=1,
        description="Of the ID token that it is asked with: Identity-Aware Proxy's client id, or a custom audience, "
        "which the worker's SLIPWAY_PROBE_AUDIENCES has to list. Default: the service's URL, where not everybody may "
        "call it.",
    )
    status: Annotated[tuple[Status, ...], OneOrMore()] = Field(
        (200, 204), min_length=1, description="Accepted status codes."
    )
    body: str | None = Field(None, description="Text that the answer must contain.")
    tries: int = Field(5, ge=1, le=20, description="Attempts before the revision counts as unhealthy.")
    timeout_s: Annotated[Duration, between("1s", "5m")] = Field(30.0, alias="timeout", description="Per attempt.")
    backoff_min_s: Duration = Field(2.0, alias="backoff_min", description="First wait between attempts.")
    backoff_max_s: Duration = Field(32.0, alias="backoff_max", description="Longest wait between attempts.")
    samples: int = Field(20, ge=1, le=100, description="Accepted requests in a row that make it healthy.")
    prober: SkipJsonSchema[str] = Field("", alias=PROBER)  # the environment's, see `Manifest.service_in`

    @property
    def longest_s(self) -> float:
        """How long all tries take when none of them is answered."""
        waits = (min(self.backoff_min_s * 2.0**number, self.backoff_max_s) for number in range(self.tries - 1))
        return self.tries * self.timeout_s + sum(waits)


class BuildSettings(Strict):
    """How Cloud Build makes the image; services that say the same of the same source share one build."""

    machine_type: MachineType | None = Field(None, description="What it builds on. Default: Cloud Build's own.")
    timeout_s: Annotated[Duration, between("1s", "24h")] = Field(1200.0, alias="timeout", description="Of the build.")
    step_timeout_s: Annotated[Duration, between("1s", "24h")] = Field(
        600.0, alias="step_timeout", description="Of each of its steps."
    )
    args: dict[BuildArgument, str] = Field({}, description="Build arguments (docker build --build-arg).")
    target: BuildTarget | None = Field(None, description="Stage of the Dockerfile to build. Default: the last.")
    secrets: dict[SecretId, Secret] = Field(
        {},
        description="What a step of the Dockerfile may read (RUN --mount=type=secret,id=…), by its id, from Secret "
        "Manager; without a number the newest version. What builds run as must be allowed to read it.",
    )
    worker_pool: WorkerPool | None = Field(
        None, description="Private pool to build in: its name, or in full for another project's."
    )

    @model_validator(mode="after")
    def _machine(self) -> Self:
        if self.machine_type and self.worker_pool:
            raise ValueError("must have either machine_type or worker_pool: a pool has machines of its own")
        return self


class Runtime(Strict):
    """How a service runs. What is not said stays as it is, for a new service as Google has it by default.

    Under an environment: only what differs there. What goes by names (env, secrets, labels, annotations, volumes,
    sidecars, and what health says) is merged by them, and null takes an entry away.
    """

    run_name: RunName | None = Field(
        None, alias="name", description="Of the service in Cloud Run. Default: <app>-<service>."
    )
    image: BuiltImage | None = Field(
        None,
        description="Instead of source: an image that is built elsewhere. A tag is looked up once for each release, "
        "which keeps to what it names then.",
    )
    health: Health = Field(default_factory=Health, description="When a new revision counts as healthy.")
    memory: Memory = Field("512Mi", description="Per instance.")
    cpu: Cpu = Field("1", description="Per instance.")
    min_instances: int = Field(
        0,
        ge=0,
        description="Kept running without traffic, of each revision with traffic or a tag, the last release's too; "
        "`scaling` counts once.",
    )
    max_instances: int = Field(100, ge=1, description="At most, however much traffic there is.")
    scaling: Scaling | None = Field(None, description="Instances of the service over all revisions.")
    concurrency: int = Field(
        80, ge=1, le=1000, description="Requests at a time per instance. Default: 80, and 1 below 1 CPU."
    )
    cpu_throttling: bool = Field(True, description="CPU during requests only.")
    cpu_boost: bool = Field(True, description="More CPU while an instance starts.")
    execution_environment: Literal["gen1", "gen2"] | None = Field(None, description="Default: Google chooses.")
    session_affinity: bool = Field(False, description="A client's requests go to the same instance where possible.")
    gpu: ServiceGpu | None = Field(None, description="A GPU for each instance.")
    http2: bool = Field(False, description="HTTP/2 without TLS to the container (h2c).")
    startup_probe: Probe | None = Field(None, description="When it has started. Default: once it listens.")
    liveness_probe: Probe | None = Field(None, description="Whether it is alive. Default: it is while it runs.")
    readiness_probe: Probe | None = Field(None, description="Whether it may get requests.")
    port: int = Field(8080, ge=1, le=65535, description="Where the container listens; it gets it as $PORT.")
    timeout_s: Annotated[Duration, between("1s", "60m")] = Field(300.0, alias="timeout", description="Per request.")
    service_account: Account | None = Field(None, description="Runs as. Default: the environment's.")
    command: tuple[str, ...] | None = Field(None, description="Instead of the image's entry point.")
    args: tuple[str, ...] | None = Field(None, description="Instead of the image's arguments.")
    working_dir: str | None = Field(None, min_length=1, description="Where it starts. Default: the image's.")
    container: Name | None = Field(None, description="What its container is called, for sidecars that start after it.")
    sidecars: dict[Name, Sidecar] = Field({}, description="Containers beside the one that gets the requests.")
    starts_after: tuple[Name, ...] = Field((), description="Sidecars that must have started before it does.")
    volumes: dict[Name, Volume] = Field({}, description="Volumes that its container sees.")
    cloudsql_instances: tuple[CloudSql, ...] = Field((), description="Reached below /cloudsql: project:region:name.")
    vpc: Vpc | None = Field(None, description="The way into a network.")
    ingress: Literal["all", "internal", "internal-and-cloud-load-balancing"] | None = Field(
        None, description="From where it can be called. Default: all."
    )
    default_url: bool = Field(True, description="Whether it has the URL that Google gives it, and its revisions.")
    public: bool = Field(False, description="Everybody may call it (allUsers become invokers).")
    invokers: Members = Field(
        (),
        description="Who may call it besides, as Google's policies name them: user:, group:, serviceAccount:, domain:, "
        "principal: and principalSet:. Of a service account of the environment's project the first part suffices. Whom "
        "others have let in stays.",
    )
    invoker_iam_check: bool = Field(True, description="Whether callers need the right to call.")
    iap: bool = Field(False, description="Identity-Aware Proxy in front of it.")
    custom_audiences: tuple[str, ...] = Field((), description="Also accepted in ID tokens.")
    binary_authorization: str | None = Field(None, description="default, or a policy's name.")
    encryption_key: EncryptionKey | None = Field(None, description="Cloud KMS key (CMEK).")
    description: str | None = Field(None, max_length=512, description="Of the service.")
    labels: dict[LabelKey, LabelValue] = Field({}, description="Of the service and its revisions.")
    service_labels: dict[LabelKey, LabelValue] = Field({}, description="Of the service alone.")
    revision_labels: dict[LabelKey, LabelValue] = Field({}, description="Of its revisions alone.")
    annotations: dict[AnnotationKey, str] = Field({}, description="Of its revisions.")
    service_annotations: dict[AnnotationKey, str] = Field({}, description="Of the service.")
    env: dict[Variable, str] = Field({}, description="Environment variables.")
    env_file: RelativePath | None = Field(
        None,
        description="File of more of them, in the repository: YAML or JSON, or .env by its name. What env says wins.",
    )
    secrets: dict[SecretKey, Secret] = Field(
        {},
        description="Environment variables, or files by their paths, from Secret Manager: the name of a secret, whose "
        "newest enabled version is looked up at deploy time and pinned into the revision by number, or name:7 for that "
        "version; projects/PROJECT/secrets/NAME for another project's.",
    )


class ServiceSettings(Runtime):
    """One container image and the Cloud Run service it runs as."""

    name: SkipJsonSchema[Name] = Field(alias=OWN_NAME)
    source: RelativePath = Field(
        default_factory=lambda fields: fields["name"],
        description="Folder in the repository. Default: the service's name.",
    )
    dockerfile: RelativePath = Field(
        "Dockerfile", description="Below source. If none is named and none is there, buildpacks build it."
    )
    depends_on: Annotated[tuple[Name, ...], OneOrMore()] = Field(
        (), description="Services that are deployed before; each one's URL is in $<NAME>_URL."
    )
    urls: dict[Variable, Name] = Field(
        {}, description="Variables of its own that hold the URLs of other services, which are deployed before."
    )
    build: BuildSettings = Field(default_factory=BuildSettings, description="How Cloud Build makes the image.")

    @property
    def upstreams(self) -> dict[str, str]:
        """The services that must serve before it, by the variables that tell it their URLs."""
        return {url_variable(name): name for name in self.depends_on} | self.urls

    @property
    def needs(self) -> tuple[str, ...]:
        """The services that must serve before it, each once."""
        return tuple(dict.fromkeys(self.upstreams.values()))

    @property
    def secret_refs(self) -> frozenset[SecretRef]:
        """Of all its containers."""
        return frozenset(
            {*self.secrets.values(), *(ref for each in self.sidecars.values() for ref in each.secrets.values())}
        )

    @property
    def build_secrets(self) -> frozenset[SecretRef]:
        """Of its build."""
        return frozenset(self.build.secrets.values())

    @property
    def named_dockerfile(self) -> str | None:
        """The Dockerfile that slipway.yaml names, which must be there; None where none is named."""
        return self.dockerfile if "dockerfile" in self.model_fields_set else None


class Beside(Strict):
    """Whose image something runs that is deployed with the services, and as whom."""

    name: SkipJsonSchema[Name] = Field(alias=OWN_NAME)
    run_name: Name | None = Field(None, alias="name", description="In Cloud Run. Default: <app>-<its key>.")
    service: Name | None = Field(
        None, description="The service whose image it runs. Default: the only one, if it has no image of its own."
    )
    image: BuiltImage | None = Field(
        None, description="An image that is built elsewhere, if it runs neither a service's nor one of its own source."
    )
    source: RelativePath | None = Field(None, description="Folder in the repository, if it has an image of its own.")
    dockerfile: RelativePath = Field("Dockerfile", description="Below source, as for services.")
    build: BuildSettings = Field(default_factory=BuildSettings, description="How Cloud Build makes the image.")
    service_account: Account | None = Field(None, description="Runs as. Default: the environment's.")

    @property
    def has_image(self) -> bool:
        """Whether it runs one of its own, and no service's."""
        return self.source is not None or self.image is not None

    @property
    def build_secrets(self) -> frozenset[SecretRef]:
        """Of its build."""
        return frozenset(self.build.secrets.values())

    @property
    def named_dockerfile(self) -> str | None:
        """The Dockerfile that slipway.yaml names, which must be there; None where none is named."""
        return self.dockerfile if "dockerfile" in self.model_fields_set else None


class JobSettings(JobRuntime, Beside):
    """A Cloud Run job that is deployed with the services, and runs when a hook, a schedule or a person starts it."""


class PoolSettings(PoolRuntime, Beside):
    """A Cloud Run worker pool that is deployed with the services: instances that work by themselves, all the time."""


Part = ServiceSettings | JobSettings | PoolSettings


def place_of(part: Part) -> tuple[str, str]:
    """Where slipway.yaml says it."""
    kind = {JobSettings: "jobs", PoolSettings: "worker_pools"}.get(type(part), "services")
    return kind, part.name


def called(part: Part) -> str:
    """In words: service web, worker pool mailer."""
    kind, name = place_of(part)
    return f"{kind.removesuffix('s').replace('_', ' ')} {name}"


def account_email(account: str, project: str) -> str:
    """What Google calls an account of which slipway.yaml may give the first part only."""
    return account if "@" in account else f"{account}@{project}.iam.gserviceaccount.com"

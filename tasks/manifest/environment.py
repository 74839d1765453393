"""A Google Cloud project with its regions, how releases reach it, and what differs there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema

from tasks.manifest.backup import Backup
from tasks.manifest.container import Sidecar, Volume
from tasks.manifest.jobs import JobRuntime, PoolRuntime
from tasks.manifest.kubernetes import Kubernetes
from tasks.manifest.provision import Provision
from tasks.manifest.scan import Scan
from tasks.manifest.settings import APP_NAME, OWN_NAME, Runtime, account_email
from tasks.manifest.shipping import Canary, Cost, Freeze, Hook, Slo, Strategy, Timeouts
from tasks.manifest.values import (
    Account,
    AnnotationKey,
    Bucket,
    Duration,
    LabelKey,
    LabelValue,
    Name,
    OneOrMore,
    Project,
    Region,
    Secret,
    SecretKey,
    Strict,
    Variable,
    between,
)

Kind = Literal["release", "prerelease", "development"]


class Difference(Runtime):
    """What differs for a service in an environment. Of what goes by names, null is: not here."""

    env: dict[Variable, str | None] = Field({}, description="Environment variables.")  # type: ignore[assignment]
    secrets: dict[SecretKey, Secret | None] = Field({}, description="As under services.")  # type: ignore[assignment]
    volumes: dict[Name, Volume | None] = Field({}, description="Volumes.")  # type: ignore[assignment]
    sidecars: dict[Name, Sidecar | None] = Field({}, description="Sidecars, each as a whole.")  # type: ignore[assignment]
    labels: dict[LabelKey, LabelValue | None] = Field({}, description="As under services.")  # type: ignore[assignment]
    service_labels: dict[LabelKey, LabelValue | None] = Field({}, description="As there.")  # type: ignore[assignment]
    revision_labels: dict[LabelKey, LabelValue | None] = Field({}, description="As there.")  # type: ignore[assignment]
    annotations: dict[AnnotationKey, str | None] = Field({}, description="As there.")  # type: ignore[assignment]
    service_annotations: dict[AnnotationKey, str | None] = Field({}, description="As there.")  # type: ignore[assignment]


class Environment(Strict):
    """A Google Cloud project with its regions, and how releases reach it."""

    name: SkipJsonSchema[Name] = Field(alias=OWN_NAME)
    app: SkipJsonSchema[Name] = Field(alias=APP_NAME)
    project: Project = Field(description="Google Cloud project id.")
    regions: Annotated[tuple[Region, ...], OneOrMore()] = Field(
        min_length=1, description="The first one builds and keeps the images."
    )
    waves: tuple[tuple[Region, ...], ...] = Field(
        default_factory=lambda fields: tuple((region,) for region in fields["regions"]),
        description="Regions that are released together, wave after wave. Default: one by one in their order.",
    )
    production: bool = Field(
        default_factory=lambda fields: fields["name"] in ("production", "prod"),
        description="Takes only what is committed, and `ship` brings releases here. Default: whether its name is "
        "production or prod.",
    )
    accepts: Annotated[tuple[Kind, ...], OneOrMore()] = Field(
        default_factory=lambda fields: (
            ("release",) if fields["production"] else ("release", "prerelease", "development")
        ),
        min_length=1,
        description="Versions that may be released here. Default: in production releases only, elsewhere all.",
    )
    branch: str | None = Field(
        None,
        pattern=r"^[^\s~^:?*\[\\-][^\s~^:?*\[\\]*$",
        description="A push of this branch is shipped here, where the git host tells `slipway serve` of it. Default: "
        "of no branch. Read by `slipway register`.",
    )
    strategy: Strategy = Field(
        "direct",
        description="How traffic moves to a proven revision. direct: all at once. blue_green: another name for direct; "
        "the version that served before keeps its own URL with both. canary: step by step.",
    )
    approval: Literal["none", "required", "another"] = Field(
        "none",
        description="Whether a person must agree. required: whoever started the release may be that person. another: "
        "somebody else, by the names that both give.",
    )
    approval_timeout_s: Annotated[Duration, between("10s", "30d")] = Field(
        86400.0, alias="approval_timeout", description="How long to wait for that person."
    )
    freeze: tuple[Freeze, ...] = Field((), description="When nothing is released.")
    slo: Slo = Field(default_factory=Slo, description="What a revision with traffic is held to.")
    cost: Cost | None = Field(
        None,
        description="What releases here may cost. With it, {} too, a release tells what it costs and by how much that "
        "changes. Default: it is not asked for.",
    )
    scan: Scan | None = Field(
        None,
        description="Which vulnerabilities keep an image from being deployed here. {} is: critical ones with a fix. "
        "Default: nobody looks.",
    )
    backup: Backup | None = Field(
        None,
        description="What is kept before each release here, so that there is something to go back to. {} is: how "
        "everything is set. Default: nothing.",
    )
    on_inconclusive: Literal["probe", "wait", "pause", "rollback"] = Field(
        "probe",
        description="When a step has baked and the evidence does not suffice. probe: a service whose users are too few "
        "to prove it in 15 minutes is proven by our own requests and time, others are waited for. wait: for more, and "
        "then go back. pause: wait and then ask a person. rollback: go back at once.",
    )
    inconclusive_limit_s: Duration = Field(
        3600.0, alias="inconclusive_limit", description="How long to wait for more, after the bake."
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
    prober: Account | None = Field(
        None,
        description="The service account as which private services are asked whether they are healthy. Default: the "
        "one that the run acts as; if it acts as none, with credentials of a user or of a federated workload, the one "
        "that the service runs as. The run must be allowed to make its ID tokens, and it to invoke the service.",
    )
    build_service_account: Account | None = Field(
        None,
        description="What builds run as. Default: Google's choice for the project, since 2024 the Compute Engine "
        "account. The run must be allowed to act as it.",
    )
    provision: Provision | None = Field(None, description="What Terraform makes around the app here.")
    kubernetes: Kubernetes | None = Field(None, description="What of a Kubernetes cluster clean-up looks after here.")
    env: dict[Variable, str] = Field(
        {}, description="For every service, job and worker pool; what is said of each wins."
    )
    services: dict[Name, Difference] = Field({}, description="What differs for single services here.")
    jobs: dict[Name, JobRuntime] = Field({}, description="What differs for single jobs here.")
    worker_pools: dict[Name, PoolRuntime] = Field({}, description="What differs for single worker pools here.")

    @field_validator("service_account", "prober", "build_service_account")
    @classmethod
    def _full_name(cls, account: str | None, info: ValidationInfo) -> str | None:
        return account and account_email(account, info.data.get("project", ""))

    def says(self, service: str, field: str) -> tuple[str, ...]:
        """The place in slipway.yaml of a value that a service has here; of one that is not said, where it could be."""
        own = self.services.get(service)
        within = ("environments", self.name) if own and field in own.model_fields_set else ()
        return (*within, "services", service, field)

    @property
    def steps(self) -> tuple[int, ...]:
        """A canary's percentages on the way to all traffic; none for the other strategies."""
        return tuple(self.strategy.canary) if isinstance(self.strategy, Canary) else ()

    @property
    def bake_s(self) -> float:
        """How long each step is watched at least."""
        return self.strategy.bake_s if isinstance(self.strategy, Canary) else 0.0

"""What slipway.yaml may say about how releases reach an environment: strategy, freezes, hooks, limits."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from tasks.manifest.values import (
    Cron,
    Duration,
    Matching,
    Moment,
    Name,
    OneOrMore,
    Region,
    Status,
    Steps,
    Strict,
    TimeZone,
    Url,
    between,
    choice,
)

Currency = Annotated[str, Matching("[A-Z]{3}", "a currency, like USD or EUR")]


class Canary(Strict):
    """Traffic moves in steps, each kept until it is proven."""

    canary: Steps = Field(description="Percent of the traffic, step by step, up to the 100 that follows.")
    bake_s: Duration = Field(
        300.0,
        alias="bake",
        description="How long each step is watched at least; latencies of its first 2 minutes do not count.",
    )


def _plain_strategy(value: object) -> object:
    if value not in ("direct", "blue_green"):
        raise ValueError("must be direct, blue_green or {canary: [5, 25, 50], bake: 5m}")
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

    start: Moment = Field(alias="from", description="2026-12-20T18:00:00 or 2026-12-20.")
    end: Moment = Field(alias="to", description="The first moment after the freeze.")

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

    url: Url = Field(
        description="What to call: on the internet, or in a network that the worker's SLIPWAY_HOOK_NETWORKS lists."
    )
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="HTTP method.")
    headers: dict[str, str] = Field({}, description="Request headers; not the place for secrets.")
    timeout_s: Annotated[Duration, between("1s", "60m")] = Field(30.0, alias="timeout", description="Of the call.")
    status: Annotated[tuple[Status, ...], OneOrMore()] = Field(
        (200, 201, 202, 204), min_length=1, description="Accepted status codes."
    )


class JobRun(Strict):
    """An execution of a Cloud Run job that must succeed."""

    name: Name = Field(
        description="A job of slipway.yaml, which then runs the version that is being released; or any other in Cloud "
        "Run, as it was last deployed."
    )
    region: Region | None = Field(None, description="Default: the environment's first. Not for a job of slipway.yaml.")
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

    max_error_rate: float = Field(0.01, ge=0, le=1, description="Share of answers that are server errors (5xx).")
    min_requests: int = Field(
        100, ge=1, description="Fewer of its users' requests do not prove a revision; see on_inconclusive."
    )
    metrics_lag_s: Duration = Field(
        180.0, alias="metrics_lag", description="How late requests show up in Cloud Monitoring: up to 3 minutes."
    )


class Cost(Strict):
    """What a release costs, by Google's price list; before free tiers, discounts, network and storage."""

    max_floor: float | None = Field(
        None,
        gt=0,
        description="A month without any request may cost so much at most, over all services and worker pools here; "
        "more needs an override. Default: no limit.",
    )
    currency: Currency = Field("USD", description="Of this limit, and of what is shown.")


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

"""What slipway.yaml may say about jobs and worker pools, in gcloud's words; whatever is not said is left as it is.

https://cloud.google.com/sdk/gcloud/reference/run/jobs/deploy, .../beta/run/worker-pools/deploy
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.manifest.container import Gpu, Probe, Volume, Vpc
from tasks.manifest.values import (
    AnnotationKey,
    CloudSql,
    Cpu,
    Duration,
    EncryptionKey,
    LabelKey,
    LabelValue,
    Memory,
    Name,
    Region,
    Secret,
    SecretKey,
    SecretRef,
    Strict,
    Variable,
    between,
)


class Workload(Strict):
    """What jobs and worker pools have in common: nobody sends them requests."""

    command: tuple[str, ...] | None = Field(None, description="Instead of the image's entry point.")
    args: tuple[str, ...] | None = Field(None, description="Instead of the image's arguments.")
    memory: Memory = Field("512Mi", description="Per task, or instance.")
    cpu: Cpu = Field("1", description="Per task, or instance: 1, 2, 4, 6 or 8.")
    gpu: Gpu | None = Field(None, description="A GPU for each task, or instance.")
    volumes: dict[Name, Volume] = Field({}, description="Volumes that its container sees.")
    cloudsql_instances: tuple[CloudSql, ...] = Field((), description="Reached below /cloudsql: project:region:name.")
    vpc: Vpc | None = Field(None, description="The way into a network.")
    encryption_key: EncryptionKey | None = Field(None, description="Cloud KMS key (CMEK).")
    labels: dict[LabelKey, LabelValue] = Field({}, description="Of it, and of its executions or revisions.")
    annotations: dict[AnnotationKey, str] = Field({}, description="Of its executions, or revisions.")
    env: dict[Variable, str] = Field({}, description="Environment variables.")
    secrets: dict[SecretKey, Secret] = Field(
        {},
        description="Environment variables, or files by their paths, from Secret Manager, as for services; pinned "
        "by number.",
    )
    region: Region | None = Field(None, description="Where it is. Default: the environment's first region.")

    @property
    def secret_refs(self) -> frozenset[SecretRef]:
        return frozenset(self.secrets.values())


class JobRuntime(Workload):
    """How a job runs. What is not said stays as it is, for a new job as Google has it by default.

    Under an environment: only what differs there. What goes by names (env, secrets, labels, annotations, volumes) is
    merged by them.
    """

    tasks: int = Field(1, ge=1, le=10_000, description="How many tasks an execution has.")
    parallelism: int = Field(0, ge=0, description="So many tasks at a time. Default: as many as possible.")
    max_retries: int = Field(3, ge=0, le=10, description="So often a task that failed is tried again.")
    timeout_s: Annotated[Duration, between("1s", "7d")] = Field(
        600.0, alias="timeout", description="Of each attempt of a task."
    )


class PoolRuntime(Workload):
    """How a worker pool runs. What is not said stays as it is, for a new pool as Google has it by default.

    Under an environment: only what differs there. What goes by names (env, secrets, labels, annotations, volumes) is
    merged by them.
    """

    scaling: int = Field(1, ge=0, le=1000, description="So many instances, all the time, over all its revisions.")
    startup_probe: Probe | None = Field(None, description="When an instance has started. Default: once it runs.")
    liveness_probe: Probe | None = Field(None, description="Whether it is alive. Default: it is while it runs.")
    watch_s: Annotated[Duration, between("1s", "60m")] = Field(
        30.0,
        alias="watch",
        description="How long the instances of a new revision are watched for ones that end by themselves; a step of "
        "a canary for as long as it bakes, if that is longer.",
    )
    description: str | None = Field(None, max_length=512, description="Of the pool.")

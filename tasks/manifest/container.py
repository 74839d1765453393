"""What slipway.yaml may say about containers and what is around them, in gcloud's words.

Whatever is not said is left as it is: https://cloud.google.com/sdk/gcloud/reference/run/deploy
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.manifest.values import (
    Cpu,
    Duration,
    Matching,
    Memory,
    Name,
    Region,
    Secret,
    SecretKey,
    SidecarVariable,
    Strict,
)

CLOUD_SQL = "cloudsql"  # the volume of cloudsql_instances, as gcloud calls it
ExportedPath = Annotated[str, Matching(r"/|/[^\0:]*[^\0:/]", "an absolute path, like /data")]
# https://cloud.google.com/run/docs/configuring/services/cloud-storage-volume-mounts#disallowed_paths
MountPath = Annotated[
    str,
    Matching(
        r"/(?!(?:dev|proc|sys)(?:/|$))[^\0:]*[^\0:/]", "an absolute path, like /data, and not in /dev, /proc or /sys"
    ),
]
ProbePath = Annotated[str, Matching(r"/[!-~]*", "a path that starts with /")]


def _whole(seconds: float) -> float:
    if seconds != int(seconds):
        raise ValueError("must be whole seconds")
    return seconds


Seconds = Annotated[Duration, AfterValidator(_whole)]


class Probe(Strict):
    """Whether a container has started, is alive or may get requests; one of http, tcp and grpc."""

    http: ProbePath | None = Field(None, description="Path that must answer with 200 to 399.")
    tcp: Literal[True] | None = Field(None, description="Whether it listens; for startup_probe only.")
    grpc: str | None = Field(None, description="Service of the gRPC health protocol; '' for the server as a whole.")
    headers: dict[str, str] = Field({}, description="Of the request, for http.")
    port: int | None = Field(None, ge=1, le=65535, description="Default: the container's.")
    initial_delay: Seconds | None = Field(None, description="Wait before the first time. Default: none.")
    period: Seconds | None = Field(None, description="From one time to the next. Default: 10s.")
    timeout: Seconds | None = Field(None, description="Of each answer. Default: 1s.")
    failure_threshold: int | None = Field(None, ge=1, description="Failures in a row that count. Default: 3.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.http, self.tcp, self.grpc)) != 1:
            raise ValueError("must have one of http, tcp and grpc")
        if self.headers and self.http is None:
            raise ValueError("headers are for http")
        return self


class Nfs(Strict):
    """A share of an NFS server."""

    server: str = Field(min_length=1, description="Host name or address.")
    path: ExportedPath = Field(description="What it exports.")


class Volume(Strict):
    """A volume of one kind: memory, bucket or nfs."""

    mount: MountPath | None = Field(None, description="Where it is seen. Default: by sidecars only, as they say.")
    memory: Memory | Literal[True] | None = Field(
        None, description="In memory, of this size at most; true for no limit. It counts as the instance's memory."
    )
    bucket: str | None = Field(None, min_length=3, description="A Cloud Storage bucket.")
    nfs: Nfs | None = Field(None, description="An NFS share.")
    read_only: bool | None = Field(None, description="For bucket and nfs. Default: false.")
    mount_options: tuple[str, ...] = Field((), description="Of Cloud Storage FUSE, for bucket.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(kind is not None for kind in (self.memory, self.bucket, self.nfs)) != 1:
            raise ValueError("must have one of memory, bucket and nfs")
        if self.read_only is not None and self.memory:
            raise ValueError("read_only is for bucket and nfs")
        if self.mount_options and not self.bucket:
            raise ValueError("mount_options is for bucket")
        return self


ByRegion = str | dict[Region, str]


class Vpc(Strict):
    """The way into a network: a connector, or directly a subnet; in regions of their own by region."""

    connector: ByRegion | None = Field(None, description="Serverless VPC Access connector, or one by region.")
    network: str | None = Field(None, min_length=1, description="Of direct egress. Default: the subnet's.")
    subnet: ByRegion | None = Field(None, description="Of direct egress, or one by region. Default: named as network.")
    tags: tuple[str, ...] = Field((), description="Network tags, of direct egress.")
    egress: Literal["all-traffic", "private-ranges-only"] | None = Field(
        None, description="What goes that way. Default: private-ranges-only."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        direct = self.network or self.subnet
        if bool(self.connector) == bool(direct):
            raise ValueError("must have either a connector, or network, subnet or both")
        if self.tags and not direct:
            raise ValueError("tags are for network and subnet; a connector has none")
        return self


class Gpu(Strict):
    """One GPU per instance."""

    type: Literal["nvidia-l4", "nvidia-rtx-pro-6000"] = Field(description="Of accelerator.")
    zonal_redundancy: bool | None = Field(None, description="Kept in several zones, at a price. Default: true.")


class ServiceGpu(Gpu):
    """One GPU per instance, of one of its containers."""

    container: Name | None = Field(
        None, description="The sidecar that has it. Default: the container that gets the requests."
    )


class Sidecar(Strict):
    """A container beside the one that gets the requests. Its image is given; a tag of it is not pinned."""

    image: str = Field(min_length=1, description="Reference, best by digest.")
    command: tuple[str, ...] | None = Field(None, description="Instead of the image's entry point.")
    args: tuple[str, ...] | None = Field(None, description="Instead of the image's arguments.")
    env: dict[SidecarVariable, str] = Field({}, description="Environment variables.")
    secrets: dict[SecretKey, Secret] = Field({}, description="Environment variables and files from Secret Manager.")
    cpu: Cpu | None = Field(None, description="Per instance. Default: 1.")
    memory: Memory | None = Field(None, description="Per instance. Default: 512Mi.")
    cpu_throttling: bool = Field(True, description="CPU during requests only.")
    cpu_boost: bool = Field(False, description="More CPU while an instance starts.")
    working_dir: str | None = Field(None, min_length=1, description="Where it starts. Default: the image's.")
    volumes: dict[Name, MountPath] = Field(
        {}, description="Volumes of the service and where they are seen here; cloudsql is that of cloudsql_instances."
    )
    depends_on: tuple[str, ...] = Field(
        (), description="Containers that must have started before: sidecars, or the service's own by `container`."
    )
    startup_probe: Probe | None = Field(None, description="When it has started; what depends on it waits for that.")
    liveness_probe: Probe | None = Field(None, description="Whether it is alive.")
    readiness_probe: Probe | None = Field(None, description="Whether the instance may get requests.")


class Scaling(Strict):
    """Instances of the service as a whole, over all revisions: https://cloud.google.com/run/docs/configuring/min-instances."""

    min: int | None = Field(None, ge=0, description="Kept running, shared out by traffic.")
    max: int | None = Field(None, ge=1, description="At most, over all revisions.")
    manual: int | None = Field(None, ge=0, description="This many, whatever the traffic.")

    @model_validator(mode="after")
    def _one_mode(self) -> Self:
        if self.manual is not None and (self.min is not None or self.max is not None):
            raise ValueError("must have either manual, or min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("must not have more as min than as max")
        return self

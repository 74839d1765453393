"""What Terraform makes around an app: an API Gateway and its key, accounts, roles, secrets and buckets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.manifest.values import (
    ACCOUNT_ID,
    Account,
    Bucket,
    Duration,
    Matching,
    Name,
    Region,
    RelativePath,
    Strict,
    between,
)

# https://cloud.google.com/api-gateway/docs/deployment-model#choosing_a_gcp_region
GATEWAY_REGIONS = (
    "asia-northeast1", "australia-southeast1", "europe-west1", "europe-west2", "us-central1", "us-east1", "us-east4",
    "us-west2", "us-west3", "us-west4",
)  # fmt: skip

AccountId = Annotated[
    str,
    Matching(
        ACCOUNT_ID,
        "what comes before the @ of a service account: 6 to 30 lower-case letters, digits and hyphens",
    ),
]
SecretName = Annotated[str, Matching(r"[A-Za-z0-9_-]{1,255}", "the name of a secret: letters, digits, _ and -")]
Role = Annotated[
    str,
    Matching(
        r"roles/[A-Za-z0-9_.]+|(projects|organizations)/[a-z0-9-]+/roles/[A-Za-z0-9_.]+",
        "a role, like roles/run.invoker",
    ),
]
Member = Annotated[
    str,
    Matching(
        rf"{ACCOUNT_ID}|(user|group|serviceAccount|domain|principal|principalSet):\S+",
        "a service account of the environment's project, by what comes before the @, or a member like "
        "group:ops@example.com",
    ),
]
Api = Annotated[str, Matching(r"[a-z][a-z0-9-]*\.googleapis\.com", "an API, like pubsub.googleapis.com")]


class AccountSettings(Strict):
    """A service account."""

    roles: tuple[Role, ...] = Field((), description="In the environment's project.")


class SecretSettings(Strict):
    """A secret of Secret Manager. What is in it is nobody's but yours: gcloud secrets versions add."""

    readers: tuple[Member, ...] = Field((), description="Who may read it.")


class BucketSettings(Strict):
    """A bucket of Cloud Storage, closed to the public."""

    name: Bucket | None = Field(None, description="Default: <project>-<app>-<its key>.")
    location: Region | None = Field(None, description="Default: the environment's first region.")
    versioning: bool = Field(False, description="What is replaced or deleted stays as an earlier version.")


class GatewaySettings(Strict):
    """An API Gateway in front of the app."""

    openapi: RelativePath = Field(
        description="OpenAPI file in the repository. ${WEB_URL} in it stands for the URL of service web."
    )
    region: Region | None = Field(
        None, description="Of the gateway. Default: the environment's first region, if there are gateways there."
    )
    service_account: Account | None = Field(
        None, description="As whom it calls the services. Default: the environment's."
    )
    api_key: bool = Field(
        False, description="Make a key for its clients, which is good for nothing else. It is kept in Secret Manager."
    )


class ProvisionTimeouts(Strict):
    """How long Terraform may take; what was made by then is kept, and the next run goes on with it."""

    init_s: Annotated[Duration, between("10s", "1h")] = Field(300.0, alias="init", description="Getting ready.")
    plan_s: Annotated[Duration, between("10s", "2h")] = Field(900.0, alias="plan", description="Planning.")
    apply_s: Annotated[Duration, between("10s", "24h")] = Field(2400.0, alias="apply", description="Making it.")
    grace_s: Annotated[Duration, between("1s", "1h")] = Field(
        20.0,
        alias="grace",
        description="For what is under way when a run is cancelled or too late. What takes longer is looked for, and "
        "adopted, by the next run.",
    )


class Provision(Strict):
    """What Terraform makes around the app in an environment; its state is in the environment's bucket."""

    gateway: GatewaySettings | None = Field(None, description="An API Gateway in front of the app.")
    accounts: dict[AccountId, AccountSettings | None] = Field({}, description="Service accounts.")
    roles: dict[Member, tuple[Role, ...]] = Field({}, description="Roles of others in the project, by member.")
    secrets: dict[SecretName, SecretSettings | None] = Field({}, description="Secrets, without what is in them.")
    buckets: dict[Name, BucketSettings | None] = Field({}, description="Buckets.")
    apis: tuple[Api, ...] = Field((), description="APIs to enable besides those that the above needs.")
    adopt: Literal["ask", "own", "never"] = Field(
        "own",
        description="What becomes of that which is there, but not in Terraform's state. own: what bears this app's and "
        "environment's labels is taken over, and what can have none if its display name says so; anything else stops "
        "the run. ask: a person decides about anything else. never: all of it stops the run.",
    )
    before_deploy: bool = Field(False, description="The deploy flow does this first.")
    timeouts: ProvisionTimeouts = Field(default_factory=ProvisionTimeouts, description="How long Terraform may take.")

    @property
    def has_key(self) -> bool:
        """Whether clients of the gateway get a key."""
        return self.gateway is not None and self.gateway.api_key

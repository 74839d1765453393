"""What slipway.yaml says of things that this app does not define."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from tasks.manifest.values import Strict

ReportOrDelete = Literal["report", "delete"]


class BesideTheApp(Strict):
    """Kinds that stand in a project beside an app: each goes only where it is named itself."""

    api_keys: ReportOrDelete = Field(
        "report", description="That nobody has called with for 30 days; had back for 30 days more."
    )
    secrets: ReportOrDelete = Field("report", description="That nothing names; disabled a week before.")
    secret_versions: ReportOrDelete = Field(
        "report", description="That nothing names, but the newest; disabled a week before."
    )

    firewall_rules: ReportOrDelete = Field(
        "report", description="That allow something to no machine; disabled a week before."
    )
    load_balancer_parts: ReportOrDelete = Field(
        "report", description="That lead to nothing that lives, seen so for a week; nothing undoes it."
    )
    certificates: ReportOrDelete = Field(
        "report", description="Of load balancers, that none has, seen so for a week; nothing undoes it."
    )
    log_sinks: ReportOrDelete = Field("report", description="That lead nowhere; disabled a week before.")
    log_buckets: ReportOrDelete = Field(
        "report", description="That have nothing to keep and no sink leads to; had back for 7 days more."
    )
    sql_instances: ReportOrDelete = Field(
        "report", description="Cloud SQL, to which nobody has connected for 30 days; stopped a week before."
    )
    sql_backups: ReportOrDelete = Field(
        "report", description="Of Cloud SQL, made by hand, beyond `keep` and `max_age`; nothing undoes it."
    )


class ForeignKinds(BesideTheApp):
    """What to do with things that this app does not define, kind by kind."""

    revisions: ReportOrDelete = Field("report", description="Without this app's labels, of its own services.")
    services: ReportOrDelete = Field("report", description="That nobody calls; disabled a day before.")
    images: ReportOrDelete = Field("report", description="In the app's repositories, of no service of the app.")
    buckets: ReportOrDelete = Field("report", description="Empty ones that nobody names.")
    service_accounts: ReportOrDelete = Field("report", description="That nothing names; disabled a day before.")
    config_maps: ReportOrDelete = Field("report", description="Of a cluster; annotated a week before.")
    cluster_secrets: ReportOrDelete = Field("report", description="Of a cluster; annotated a week before.")
    workloads: ReportOrDelete = Field("report", description="Of a cluster; without pods for a day before.")
    cluster_services: ReportOrDelete = Field("report", description="Of a cluster, without pods; annotated before.")
    ingress_resources: ReportOrDelete = Field("report", description="That lead to no pods; annotated before.")
    volume_claims: ReportOrDelete = Field(
        "report", description="With `kubernetes: {volumes: delete}`; annotated before."
    )
    cluster_namespaces: ReportOrDelete = Field("report", description="The app's, and empty; annotated a day before.")


Foreign = Annotated[
    Annotated[ForeignKinds, Tag("<kinds>")] | Annotated[ReportOrDelete, Tag("<all>")],
    Discriminator(lambda value: "<kinds>" if isinstance(value, dict | ForeignKinds) else "<all>"),
]


def foreign_of(said: ForeignKinds | ReportOrDelete, kind: str) -> ReportOrDelete:
    """Of a kind by its word in plans, "service account"; what has no key of its own is only reported.

    One word for all is for what an app consists of, not for what stands beside it.
    """
    key = f"{kind.replace(' ', '_')}s"
    if isinstance(said, ForeignKinds):
        return getattr(said, key, "report")
    return "report" if key in BesideTheApp.model_fields else said

"""What slipway.yaml may say about what is kept before a release."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.manifest.values import CloudSql, Duration, Strict, between


class Backup(Strict):
    """What is kept before a release, named in its record and in the advice of every rollback from it."""

    configuration: bool = Field(
        True,
        description="How the app's services, jobs and worker pools are set, who may call them, and which jobs of Cloud "
        "Scheduler call them: into the bucket, in the form that `gcloud run services replace` takes. Values of plain "
        "variables are in it, those of secrets are not.",
    )
    cloudsql: tuple[CloudSql, ...] | None = Field(
        None, description="Cloud SQL instances, as project:region:name. Default: those that what is released reaches."
    )
    mode: Literal["auto", "mark", "backup", "never"] = Field(
        "auto",
        description="What is kept of these. mark: the moment before the first hook, to which point-in-time recovery "
        "can go back; takes no time. backup: one of its own, begun before the build and awaited before the first hook. "
        "auto: a mark where point-in-time recovery is on and has come to within 10 minutes, else a backup. never: "
        "nothing.",
    )
    keep_s: Annotated[Duration, between("1d", "365d")] = Field(
        30 * 86400.0, alias="keep", description="After that a backup goes by itself, in whole days."
    )
    wait_s: Annotated[Duration, between("1m", "12h")] = Field(
        3600.0, alias="wait", description="How long to wait for a backup before the first hook."
    )

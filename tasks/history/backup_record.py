"""What a release record keeps of what was kept before the release. Pure."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class DatabaseRecord(BaseModel):
    """One Cloud SQL instance, and what it can be brought back to."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instance: str  # projects/{project}/instances/{id}
    kind: str  # mark or backup; also what another version of Slipway says
    at: datetime | None = None  # UTC: the moment that a mark is of; None until the release has come to it
    backup: str = ""  # projects/{project}/backups/{id}; '' until that is known
    operation: str = ""  # projects/{project}/operations/{id}, which makes it
    kept: bool = False  # it can be gone back to

    @property
    def project(self) -> str:
        return self.instance.split("/")[1]

    @property
    def id(self) -> str:
        return self.instance.rpartition("/")[2]


class BackupRecord(BaseModel):
    """Where it is, and what there is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    configuration: str = ""  # gs://BUCKET/FOLDER/, '' where none was asked for or made
    things: tuple[str, ...] = ()  # whose configuration is in there: web in europe-west1 …
    notes: tuple[str, ...] = ()  # what is not in there
    when: datetime | None = None  # UTC, of the configuration
    databases: tuple[DatabaseRecord, ...] = ()

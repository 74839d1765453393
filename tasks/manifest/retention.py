"""What slipway.yaml says of clean-up and drift."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from tasks.manifest.values import Duration, Strict

ReportOrDelete = Literal["report", "delete"]


class ForeignKinds(Strict):
    """What to do with things that this app does not define, kind by kind."""

    revisions: ReportOrDelete = Field("report", description="Without this app's labels, of its own services.")
    services: ReportOrDelete = Field("report", description="That nobody calls; disabled a day before.")
    images: ReportOrDelete = Field("report", description="In the app's repositories, of no service of the app.")
    buckets: ReportOrDelete = Field("report", description="Empty ones that nobody names.")
    service_accounts: ReportOrDelete = Field("report", description="That nothing names; disabled a day before.")


Foreign = Annotated[
    Annotated[ForeignKinds, Tag("<kinds>")] | Annotated[ReportOrDelete, Tag("<all>")],
    Discriminator(lambda value: "<kinds>" if isinstance(value, dict | ForeignKinds) else "<all>"),
]


class Retention(Strict):
    """What clean-up keeps and how much it may take away at once."""

    keep: int = Field(10, ge=1, description="Newest images of each service that stay whatever their age.")
    max_age_s: Duration = Field(7776000.0, alias="max_age", description="Older ones may go.")
    protect: tuple[str, ...] = Field((), description="Globs of names that are never touched.")
    foreign: Foreign = Field("report", description="What to do with what this app does not define; also kind by kind.")
    max_items: int = Field(50, ge=1, description="So many go in one run, the oldest first; a named plan goes whole.")
    max_percent: int = Field(20, ge=1, le=100, description="So large a share of a kind goes in one run, at least one.")

    forget: tuple[str, ...] = Field(
        (), description="Environments or projects that slipway.yaml no longer has and that are gone for good."
    )
    adopt: tuple[str, ...] = Field(
        (), description="Repositories made by others whose images of this app's services are this app's."
    )

    def foreign_of(self, kind: str) -> ReportOrDelete:
        """Of a kind by its word in plans, "service account"; what has no key of its own is only reported."""
        if isinstance(self.foreign, ForeignKinds):
            return getattr(self.foreign, f"{kind.replace(' ', '_')}s", "report")
        return self.foreign


class DriftSettings(Strict):
    """How deployed and described configuration are compared."""

    ignore: tuple[str, ...] = Field((), description="Paths of fields that others may change.")

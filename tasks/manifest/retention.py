"""What slipway.yaml says of clean-up and drift."""

from __future__ import annotations

from pydantic import Field

from tasks.manifest.foreign import Foreign, ReportOrDelete, foreign_of
from tasks.manifest.values import Duration, Strict


class Retention(Strict):
    """What clean-up keeps and how much it may take away at once."""

    keep: int = Field(10, ge=1, description="Newest images of each service that stay whatever their age.")
    max_age_s: Duration = Field(
        7776000.0,
        alias="max_age",
        description="Older ones may go; whatever this says, nothing that is younger than a day.",
    )
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
        """Of a kind by its word in plans, "service account"."""
        return foreign_of(self.foreign, kind)


class DriftSettings(Strict):
    """How deployed and described configuration are compared."""

    ignore: tuple[str, ...] = Field((), description="Paths of fields that others may change.")

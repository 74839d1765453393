"""What a release record keeps of a job: what it was, what the release made of it, and whether that is owed. Pure."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from tasks.history.masking import masked_job
from tasks.model import Outcome

MaskedJob = Annotated[dict[str, Any], AfterValidator(masked_job)]


class JobRecord(BaseModel):
    """One job of slipway.yaml. Templates are of its executions, v2 as JSON, without values of plain variables."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job: str  # as slipway.yaml names it
    name: str  # projects/{project}/locations/{region}/jobs/{id}
    image: str = ""  # by digest
    before: MaskedJob | None = None  # None: it was not there, or could not be read
    unread: bool = False  # whether it could not be read: nobody knows what it was before
    before_labels: dict[str, str] = {}  # of the job itself
    template: MaskedJob = {}  # as it was written; empty until that is known
    labels: dict[str, str] = {}
    outcome: Outcome = Outcome.PLANNED
    said: str = ""  # more about the outcome

    @property
    def is_owed(self) -> bool:
        """Whether it still has to be given back, or brought to what the release wants."""
        return self.outcome in (Outcome.FAILED, Outcome.GIVING_BACK)

    def __str__(self) -> str:
        return f"the job {self.job}"

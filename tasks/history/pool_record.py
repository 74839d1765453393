"""What a release record keeps of a worker pool: how it was, what the release made of it, whether that is owed. Pure."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from tasks.history.masking import masked
from tasks.model import Outcome, Verdict

Masked = Annotated[dict[str, Any], AfterValidator(masked)]
Shares = tuple[tuple[str, int], ...]  # revision, '' for whichever is the newest; percent of the instances


class PoolRecord(BaseModel):
    """One worker pool of slipway.yaml. What it was made of is in its revisions, so that is named and not kept."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pool: str  # as slipway.yaml names it
    name: str  # projects/{project}/locations/{region}/workerPools/{id}
    image: str = ""  # by digest
    existed: bool = True  # False too where it could not be read
    unread: bool = False  # whether it could not be read: nobody knows what it was before
    stands_for: str = ""  # the revision that its template was of before
    before: Shares = ()  # how its instances were shared out
    was_whole: dict[str, Any] = {}  # description, labels, scaling before
    revision: str = ""  # the release's; '' until that is known
    template: Masked = {}  # of the revision, as it was written: what drift is measured against
    whole: dict[str, Any] = {}
    verdict: Verdict | None = None
    reason: str = ""  # of the verdict
    outcome: Outcome = Outcome.PLANNED
    said: str = ""  # more about the outcome

    @property
    def is_owed(self) -> bool:
        """Whether it still has to be given back, or brought to what the release wants."""
        return self.outcome in (Outcome.FAILED, Outcome.GIVING_BACK)

    def __str__(self) -> str:
        return f"the worker pool {self.pool}"

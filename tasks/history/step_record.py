"""What a release record keeps of the steps of a canary and of hooks. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.model import Verdict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StepRecord(_Frozen):
    """What was found while the candidates had a part of the traffic; times are UTC."""

    percent: int
    regions: tuple[str, ...]
    began: datetime
    ended: datetime
    verdict: Verdict
    reason: str


class HookRecord(_Frozen):
    """A hook that has succeeded; one that a run had begun when it died is not among them."""

    name: str
    when: Literal["before", "after"]
    began: datetime  # UTC
    seconds: float
    execution: str = ""  # of the job, by its full name; '' of an HTTP call

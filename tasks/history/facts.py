"""What becomes known of a release, for its record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict

from tasks.history.backup_record import BackupRecord
from tasks.history.record import Approval, State, TargetRecord
from tasks.history.scan_record import ScanRecord
from tasks.history.step_record import HookRecord, StepRecord


class Facts(TypedDict, total=False):
    """What becomes known of a release once its record is begun."""

    state: State
    reason: str
    finished: datetime
    approval: Approval
    images: Mapping[str, str]
    sources: Mapping[str, str]
    targets: tuple[TargetRecord, ...]
    steps: tuple[StepRecord, ...]
    hooks: tuple[HookRecord, ...]
    scans: tuple[ScanRecord, ...]
    audits: tuple[ScanRecord, ...]
    backup: BackupRecord
    seconds: Mapping[str, float]
    cause: str

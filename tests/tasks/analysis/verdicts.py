"""The verdicts by their short names, and the rules as they are by default."""

from __future__ import annotations

from tasks.analysis.verdict import Rules
from tasks.model import Verdict

HEALTHY, UNHEALTHY, INCONCLUSIVE = Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.INCONCLUSIVE
RULES = Rules()

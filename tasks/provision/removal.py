"""Taking everything away again: only what a dry run has shown, by the name that it gave it."""

from __future__ import annotations

import hashlib

from prefect.logging import get_run_logger

from infra.terraform.plan import Plan
from tasks.failures.errors import ParameterError, ProvisionRefused
from tasks.provision.guard import judge_removal
from tasks.provision.site import Site

_DIGITS = 12


def name_of(plan: Plan) -> str:
    """The same for the same deletions; another as soon as one differs."""
    said = "\n".join(sorted(f"{change.address} {' '.join(change.actions)}" for change in plan.changes))
    return hashlib.sha256(said.encode()).hexdigest()[:_DIGITS]


def check_removal(plan: Plan, dry_run: bool, agreed: str | None) -> None:
    """Raises ProvisionRefused for a plan that does more than take away, ParameterError for one that nobody has seen."""
    judged = judge_removal(plan)
    if judged.refused:
        raise ProvisionRefused(
            "The plan would do more than take away:\n" + "\n".join(f"- {each}" for each in judged.refused),
            "start the provision flow first, and then a dry run of this one.",
        )
    if not dry_run and not plan.is_empty and agreed != name_of(plan):
        seen = f"{agreed} is another plan than the one of now" if agreed else "nobody has said that they have seen it"
        raise ParameterError(
            f"Nothing is taken away: {seen}, {name_of(plan)}.",
            "look at a dry run, and give the name that it tells as `agreed`.",
        )


def show_removal(site: Site, plan: Plan) -> None:
    """What a dry run has seen, and what it is called."""
    logger, environment = get_run_logger(), site.request.environment
    for each in judge_removal(plan).to_ask:
        logger.info("%s", each)
    if not plan.is_empty:
        logger.info("to take just this away: slipway destroy --environment %s --delete %s", environment, name_of(plan))

"""Preflight: everything that could stop the release, asked at once, before anything is changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from tasks.failures.catalogue.blanks import Known
from tasks.failures.cause import Cause
from tasks.failures.errors import UNTOUCHED, PreflightFailed
from tasks.failures.explain import explain
from tasks.model import Missing, Override, Problem, Readiness, Request
from tasks.orchestration.artifacts import table
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.preflight.checks import CHECKS, Check
from tasks.preflight.dependencies import DEPENDENCIES
from tasks.preflight.findings import merge, refuse

OVERRIDABLE = (DEPENDENCIES,)


@stage("preflight")
async def preflight(request: Request, override: Override | None = None) -> Readiness:
    """All checks at once. Raises PreflightFailed with every problem found; answers what may be created.

    override: of who ships all the same where that is a person's to decide.
    """
    return await check_everything(request, override=override)


@step("preflight", timeout_s=120)
async def check_everything(request: Request, state: str = UNTOUCHED, override: Override | None = None) -> Readiness:
    """The same outside its stage; `state` is what has been changed before."""
    started = time.monotonic()
    found = await asyncio.gather(*(_guarded(check, request) for check in CHECKS))
    readiness = overridden(without_echoes(merge(found)), override)
    logger = get_run_logger()
    logger.info("preflight: %d checks in %.2f s", len(CHECKS), time.monotonic() - started)
    await table(request, "preflight", rows(readiness), f"Preflight of {request.app} -> {request.environment}")
    if readiness.problems:
        raise failure(request, readiness.problems, state)
    for note in readiness.notes:
        logger.info("%s", note)
    for gap in readiness.gaps:
        logger.info("missing, to be created: %s %s", gap.kind, gap.name)
    return readiness


async def _guarded(check: Check, request: Request) -> Readiness:
    """A check that cannot be made is itself a problem, and keeps none of the others from being made."""
    try:
        async with asyncio.timeout(check.limit_s):
            return await check.run(request)
    except (GoogleError, TimeoutError) as error:
        explanation = explain(error, Known(project=request.project))
        text = f"Could not be checked: {explanation.problem}"
        if check.optional:
            return Readiness(notes=(f"{check.name}: {text}",))
        return refuse(check.name, explanation.cause, text, explanation.remedy, explanation.link)


def without_echoes(found: Readiness) -> Readiness:
    """Leaves out failures of single checks that only repeat a cause that is reported, or removed next, by itself.

    Of a project that is not there nothing can be found out, and of a region that is not there nothing in it.
    """
    for check in ("project", "region"):
        if own := tuple(p for p in found.problems if p.check == check):
            return Readiness(own)
    causes = {p.cause for p in found.problems if not p.problem.startswith("Could not be checked")}
    if any(gap.kind is Missing.API for gap in found.gaps):
        causes.add(Cause.API_DISABLED)
    echoed = causes & {Cause.API_DISABLED, Cause.BILLING, Cause.PERMISSION}
    kept = tuple(p for p in found.problems if not (p.problem.startswith("Could not be checked") and p.cause in echoed))
    return Readiness(kept, found.gaps, found.notes)


def overridden(found: Readiness, override: Override | None) -> Readiness:
    """What a person may decide against is told and stops nothing where one has: the release may be the cure."""
    if override is None:
        return found
    decided = [each for each in found.problems if each.check in OVERRIDABLE]
    told = tuple(f"{each.problem} Overridden by {override}" for each in decided)
    left = tuple(each for each in found.problems if each not in decided)
    return replace(found, problems=left, notes=(*found.notes, *told))


def rows(found: Readiness) -> list[dict[str, str]]:
    """The preflight table: one row per check that found something, or one that says all is well."""
    bad = [{"check": p.check, "found": p.problem, "fix": p.fix, "link": p.link} for p in said_once(found.problems)]
    gaps = [
        {"check": str(g.kind), "found": f"{g.name} is missing", "fix": "created next", "link": ""} for g in found.gaps
    ]
    return bad + gaps or [{"check": "all", "found": "ready", "fix": "", "link": ""}]


def said_once(problems: Sequence[Problem]) -> list[Problem]:
    """Several checks that were kept from being made by the same thing are one problem, with all their names."""
    checks: dict[Problem, list[str]] = {}
    for problem in problems:
        checks.setdefault(replace(problem, check=""), []).append(problem.check)
    return [replace(problem, check=", ".join(dict.fromkeys(names))) for problem, names in checks.items()]


def failure(request: Request, problems: Sequence[Problem], state: str = UNTOUCHED) -> PreflightFailed:
    problems = said_once(problems)
    lines = [
        "\n   ".join(filter(None, (f"{n}. [{p.check}] {p.problem}", p.fix, p.link))) for n, p in enumerate(problems, 1)
    ]
    return PreflightFailed(
        f"Project {request.project} is not ready for {request.app} ({len(problems)} found):\n" + "\n".join(lines),
        "run the commands above, then start the run again.",
        problems[0].cause,
        state=state,
    )

"""Gives a service's template back after a release that did not come about, or was turned away from, so that another
tool's next change builds on what serves, and not on what failed.

The revision that the template was of is still there, so it is named again and nothing starts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.revisions import UNTOLD, Revision, get_revision
from infra.gcp.run.services import RunService
from infra.gcp.run.traffic import TrafficTarget
from tasks.failures.explain import explain
from tasks.model import Candidate, Request, Snapshot
from tasks.names.naming import config_digest, revision_name
from tasks.orchestration.retry import repeated
from tasks.rollout.base import template_of
from tasks.rollout.live import changed_meanwhile

WRITE_TIMEOUT_S = 60.0
TEMPLATE_LIMIT_S = 25.0
PAUSES_S = (0.5, 1.0, 2.0, *[4.0] * 30)  # to the end of the longest limit
# Not of the moment: Google takes the template under the revision's name for another one, or not at all.
_REFUSED = frozenset({"ALREADY_EXISTS", "FAILED_PRECONDITION", "INVALID_ARGUMENT"})


def written_for(run_service: str, version: str) -> Callable[[str], bool]:
    """Whether a revision, by its name, is one that a release of this version asks for."""
    start = revision_name(run_service, version, config_digest({}))[:-8]
    ours = re.compile(rf"{re.escape(start)}(?:[0-9a-f]{{8}}|[0-9a-f]{{0,8}}-r\d+)")  # not v1.4.0-rc.1 for v1.4.0
    return lambda revision: ours.fullmatch(revision) is not None


async def give_template_back(request: Request, before: Snapshot, ours: Callable[[str], bool]) -> str:
    """The template as it was before the release, if it is still the release's; says why where it stays that.

    ours: whether a revision, by its name, is the release's. With the template traffic follows the newest revision
    again, where it did. Raises GoogleError or TrafficConflict; then it may be tried again.
    """
    service = await services.get_service(request.run_service(before.place))
    now = "" if service is None else template_of(service).get("revision", "")
    if service is None or not before.stands_for or now == before.stands_for or not (now and ours(now)):
        return ""
    revision = await get_revision(service.name, before.stands_for)
    if revision is None and before.service is None:
        return f"; its template stays that of {now}, as {before.stands_for} is gone"
    try:
        await _write(service, before, revision)
    except GoogleError as error:
        if error.status == "ABORTED":
            raise changed_meanwhile(service.name) from error
        if error.status not in _REFUSED:
            raise
        return f"; its template stays that of {now}: {explain(error).said}"
    return ""


async def template_back(
    request: Request, before: Snapshot, ours: Callable[[str], bool], limit_s: float, still: str
) -> tuple[bool, str]:
    """`give_template_back`, tried until its time is over: whether nothing of `ours` is left in the template, and what
    to say of it. still: whose it is where it could not be given back.
    """
    try:
        async with asyncio.timeout(limit_s):
            return True, await repeated(lambda: give_template_back(request, before, ours), PAUSES_S)
    except Exception as error:
        return False, f", but its template is still {still}: {explain(error).said}"


async def take_template_along(request: Request, candidate: Candidate) -> None:
    """After a rollback, where the template still is that of what served before. None fails by it: users have theirs."""
    place, before = candidate.place, candidate.before
    left = {target.revision or before.latest_ready for target in before.traffic if target.percent}
    told = candidate.template or {}
    then = Snapshot(place, (), "", candidate.revision, config=told, stands_for=candidate.revision)
    still = "that of what served before"
    _, said = await template_back(request, then, left.__contains__, TEMPLATE_LIMIT_S, still)
    if said:
        get_run_logger().warning(
            "%s serves %s%s. What another tool changes builds on that.", place, candidate.revision, said
        )


async def _write(service: RunService, before: Snapshot, revision: Revision | None) -> None:
    template = former_template(before, revision)
    body: dict[str, Any] = {"name": service.name, "etag": service.etag, "template": template}
    fields = ["template"]
    targets = following_again(service.traffic, before) if revision else service.traffic
    if targets != service.traffic:
        body["traffic"] = [services.traffic_body(target) for target in targets]
        fields.append("traffic")
    await services.update_service(body, fields, WRITE_TIMEOUT_S, before.service or revision)


def former_template(before: Snapshot, revision: Revision | None) -> Mapping[str, Any]:
    """What the revision was made of; what no revision tells, as it was read. Without the revision a new one is made."""
    if revision is None:
        return {key: value for key, value in before.config.items() if key != "revision"}
    untold = {key: value for key, value in before.config.items() if key in UNTOLD}
    return {**untold, **revision.configuration, "revision": before.stands_for}


def following_again(now: tuple[TrafficTarget, ...], before: Snapshot) -> tuple[TrafficTarget, ...]:
    """The split with LATEST instead of the revision that it stood for, if that has its whole share again."""
    share = before.followed
    fixed = any(target.percent for target in before.traffic if target.revision == before.stands_for)
    has = sum(target.percent for target in now if target.revision == before.stands_for)
    if not share or fixed or has != share:
        return now
    rest = [
        TrafficTarget(target.revision, 0, target.tag) if target.revision == before.stands_for else target
        for target in now
        if target.revision != before.stands_for or target.tag
    ]
    return (TrafficTarget(None, share), *rest)

"""What is said of a service as a whole: set once a revision is proven, and as before when the release does not stand.

It holds for every revision at once, the one that serves too, so it has no dark. What lets more callers in waits until
the release has all the traffic: what served before never said that they may call it. A rollback has all of it at once,
and is asked in between: by the way in that there is now, and that may close.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.services import WHOLE
from tasks.failures.errors import BEING_GIVEN_BACK
from tasks.history.record import TargetRecord
from tasks.model import Candidate, Request
from tasks.orchestration.step import step
from tasks.rollout.base import base_of
from tasks.rollout.live import LiveService, changed_meanwhile
from tasks.rollout.sent import Sent
from tasks.rollout.service import said_before, said_of_all, whole_over
from tasks.spec.merge import leaves, merged
from tasks.spec.settings import alike

WRITE_TIMEOUT_S = 60.0
# From the fewest callers to the most: https://cloud.google.com/run/docs/securing/ingress
WIDTH = {
    "INGRESS_TRAFFIC_NONE": 0,
    "INGRESS_TRAFFIC_INTERNAL_ONLY": 1,
    "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER": 2,
    "INGRESS_TRAFFIC_ALL": 3,
}


def whole_then(live: LiveService, then: TargetRecord) -> dict[str, Any]:
    """What an earlier release had said, over what is there now; what releases have said since, and it had not, goes.

    Nothing where its record does not tell: then it stays as it is.
    """
    said = said_before(then.template)
    if said is None or then.whole is None:
        return {}
    serving = live.revision(live.service.mostly)
    since = said_before(serving.configuration) if serving else None
    base = base_of(live.service)
    ours = merged(then.whole, leaves(then.whole).keys() - said_of_all(said), {}, {})
    whole = whole_over(ours, replace(base, said=base.said | (since or frozenset())))
    return {**whole, "labels": dict(live.service.labels)}


def to_change(candidate: Candidate) -> tuple[str, ...]:
    """The fields that the release changes; labels change with its template."""
    if not candidate.whole:
        return ()
    wanted, before = candidate.whole, candidate.before.whole
    return tuple(key for key in sorted(WHOLE) if key != "labels" and not alike(key, wanted, before))


def opening(wanted: Mapping[str, Any], before: Mapping[str, Any]) -> frozenset[str]:
    """The fields of these that let in who was not let in before."""

    def width(whole: Mapping[str, Any]) -> int:
        return WIDTH.get(whole.get("ingress", ""), WIDTH["INGRESS_TRAFFIC_ALL"])

    opened = {
        "defaultUriDisabled": before.get("defaultUriDisabled") and not wanted.get("defaultUriDisabled"),
        "iapEnabled": before.get("iapEnabled") and not wanted.get("iapEnabled"),
        "ingress": width(wanted) > width(before),
        "invokerIamDisabled": wanted.get("invokerIamDisabled") and not before.get("invokerIamDisabled"),
    }
    return frozenset(key for key, opens in opened.items() if opens)


@step("set the service", run_name="set the service {candidate.place}", attempts=3, state=BEING_GIVEN_BACK)
async def set_whole(
    request: Request, candidate: Candidate, sent: Sent, *, opens: bool = True, rest: bool = True
) -> None:
    """opens: what lets more callers in. rest: what does not. sent: is told what that changes."""
    lets_in = opening(candidate.whole, candidate.before.whole)
    fields = [each for each in to_change(candidate) if (opens if each in lets_in else rest)]
    if fields and await _write(request, candidate, candidate.whole, fields, partial(sent.add, candidate.place)):
        get_run_logger().info("%s: set %s", candidate.place, ", ".join(fields))


async def give_whole_back(request: Request, candidate: Candidate) -> str:
    """As it was before the release, in words; what others have set since is theirs."""
    fields, unsent, said = to_change(candidate), candidate.unsent & WHOLE.keys(), ""
    if not (fields or unsent):
        return ""
    service = await services.get_service(request.run_service(candidate.place))
    now, was, wanted = (service.whole if service else {}), candidate.before.whole, candidate.whole
    ours = [key for key in fields if service and alike(key, now, wanted)]
    if ours and await _write(request, candidate, was, ours):
        said = f", {', '.join(ours)} as before"
    changed = {key for key in fields if key not in ours and not alike(key, now, was)}
    theirs = changed | {key for key in unsent if alike(key, now, wanted)}
    return said + (f", {', '.join(sorted(theirs))} as somebody else has set it" if service and theirs else "")


async def _write(
    request: Request,
    candidate: Candidate,
    wanted: Mapping[str, Any],
    fields: Sequence[str],
    before: Callable[[list[str]], None] = lambda _: None,
) -> bool:
    """Whether anything had to be written. before: told what, before it is."""
    service = await services.get_service(request.run_service(candidate.place))
    if service is None or all(alike(key, service.whole, wanted) for key in fields):
        return False
    before([key for key in fields if not alike(key, service.whole, wanted)])
    said = {key: wanted[key] for key in fields if key in wanted}
    try:
        body = {"name": service.name, "etag": service.etag, **said}
        await services.update_service(body, [WHOLE[key] for key in fields], WRITE_TIMEOUT_S)
    except GoogleError as error:
        if error.status == "ABORTED":
            raise changed_meanwhile(service.name) from error
        raise
    return True

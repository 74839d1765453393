"""Who may call a service: everybody, once a public one is proven, and as before when the release does not stand."""

from __future__ import annotations

from prefect.logging import get_run_logger

from infra.gcp.run import access, services
from tasks.failures.errors import BEING_GIVEN_BACK
from tasks.model import Candidate, Request
from tasks.orchestration.step import step


@step("set who may call", run_name="set who may call {candidate.place}", attempts=3, state=BEING_GIVEN_BACK)
async def set_access(request: Request, candidate: Candidate) -> None:
    """Opens a public service to everybody; closes one that is public no more, if it was a release that opened it."""
    place = candidate.place
    if not candidate.public and not candidate.before.opened:
        return
    name = request.run_service(place)
    service = await services.get_service(name) if candidate.public else None
    if service and service.unchecked:  # it asks nobody, and an organisation policy may forbid to say so once more
        return
    if await access.set_public(name, public=candidate.public):
        get_run_logger().info("%s is %s now", place, "open to everyone" if candidate.public else "open to nobody new")


def may_have_changed(candidate: Candidate) -> bool:
    """Whether `set_access` gives others access to the service than had it before the release."""
    before = candidate.before
    return before.public is not None and (before.opened if not candidate.public else not before.public)


async def give_access_back(request: Request, candidate: Candidate) -> str:
    """As it was before the release, in words; '' where the release cannot have changed it.

    The policy is written even if it is as it should be: a change of ours that is still under way then comes too late.
    """
    if not may_have_changed(candidate):
        return ""
    public = bool(candidate.before.public)
    changed = await access.set_public(request.run_service(candidate.place), public=public, always=True)
    return f", open to {'everyone' if public else 'its callers'} as before" if changed else ""

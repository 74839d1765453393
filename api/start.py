"""What starts and stops runs: webhooks of git hosts, and requests with a token."""

from __future__ import annotations

import time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request

from api.proof import Host, refuse_forged
from api.pushes import Ignored, payload_of, pushes_of
from api.refused import Refused
from api.runs import Runs, Start, names_of

MOST = 4 << 20  # bytes of a webhook's body; a push of thousands of commits has less
hooks, router = APIRouter(tags=["webhooks"]), APIRouter(tags=["runs"])


@hooks.post("/hooks/{host}", status_code=202)
async def push(host: Host, request: Request) -> dict[str, Any]:
    """Ships what was pushed: a tag by the tag, a branch to the environments of slipway.yaml that name it.

    The request has to be signed with the secret that both sides know. Telling of one push twice starts one run.
    """
    body = await _body(request)
    secrets = request.app.state.settings.secrets
    delivery = refuse_forged(host, request.headers, body, secrets, time.time())
    pushed = pushes_of(host, request.headers, payload_of(body))
    if isinstance(pushed, Ignored):
        return {"started": [], "ignored": pushed.why}
    runs: Runs = request.app.state.runs
    started = []
    for each in pushed:
        started += await runs.start_pushed(each, delivery, f"{host} push{f' by {each.who}' if each.who else ''}")
    if not started:
        return {"started": [], "ignored": f"no environment names the branch {pushed[0].branch}"}
    return {"started": names_of(started)}


async def _body(request: Request) -> bytes:
    """As far as it may be long; what says by itself that it is longer is not waited for."""
    hang_up = {"Connection": "close"}  # the rest would be read, and thrown away, as long as it comes
    too_long = Refused(413, f"The body is longer than {MOST} bytes.", hang_up)
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdecimal() and (len(said) > len(str(MOST)) or int(said) > MOST):
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST:
            raise too_long
    return bytes(body)


@router.post("/deployments", status_code=202)
async def start(
    wanted: Start,
    request: Request,
    idempotency_key: Annotated[str, Header(description="The same key starts one run.", max_length=200)] = "",
    started_by: Annotated[str, Header(alias="Slipway-Started-By", max_length=200)] = "API",
) -> dict[str, Any]:
    """Starts a run of an app that `slipway register` has registered.

    With an ID token of Google's its e-mail is who has started it, whatever Slipway-Started-By says.
    """
    runs: Runs = request.app.state.runs
    once = f"start-{idempotency_key}" if idempotency_key else ""
    return names_of([await runs.start(wanted, once, request.state.caller or started_by)])[0]


@router.post("/deployments/{run}/cancel", status_code=202)
async def cancel(run: UUID, request: Request) -> dict[str, str]:
    """Asks the run to stop: it gives back what it has taken, and ends."""
    runs: Runs = request.app.state.runs
    await runs.cancel(run)
    return {"id": str(run), "state": "Cancelling"}

"""The log of a run over a WebSocket, for who prefers that to Server-Sent Events: the same lines, as JSON texts.

https://datatracker.ietf.org/doc/html/rfc6455
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from uuid import UUID

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect

from api.feed import Feeds
from api.guard import refuse_often

NORMAL, TRY_AGAIN = 1000, 1013
router = APIRouter()


@router.websocket("/deployments/{run}/logs/socket")
async def logs(socket: WebSocket, run: UUID, after: str = Query("", max_length=64)) -> None:
    """after: the id of the line that came last; without it, from the first one."""
    state = socket.app.state
    refuse_often(state.limit, socket)
    await asyncio.to_thread(state.guard.caller, socket)
    await state.runs.read(run)
    feeds: Feeds = state.feeds
    feeds.refuse_more(run)
    await socket.accept()
    telling, gone = asyncio.create_task(_tell(socket, feeds, run, after)), asyncio.create_task(_until_gone(socket))
    try:
        await asyncio.wait((telling, gone), return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            await socket.close(telling.result())
    except WebSocketDisconnect:
        return  # while it was being told
    finally:
        for task in (telling, gone):
            task.cancel()
        await asyncio.gather(telling, gone, return_exceptions=True)


async def _tell(socket: WebSocket, feeds: Feeds, run: UUID, after: str) -> int:
    """Until the end; answers with which code to close."""
    async with aclosing(feeds.events(run, after)) as events:
        async for each in events:
            if each.kind:
                await socket.send_json({"event": each.kind, **({"id": each.id} if each.id else {}), **each.data})
            if each.kind == "error":
                return TRY_AGAIN
    return NORMAL


async def _until_gone(socket: WebSocket) -> None:
    """Whatever a listener says is not heard."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass

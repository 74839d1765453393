"""The path that every call takes to its handler, whichever door it came through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from aiohttp import web
from google.protobuf.message import Message

from infra.emulator.iam.admission import Admission
from infra.emulator.iam.identity import Identity
from infra.emulator.kernel.behaviour import Dropped
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, unauthenticated, unimplemented
from infra.emulator.kernel.handlers import Call, Route
from infra.emulator.kernel.rpc_table import Rpc


class Dispatcher:
    def __init__(self, cloud: Cloud) -> None:
        self._journal, self._handlers, self._background = cloud.journal, cloud.handlers, cloud.background
        self._identity, self._admission = cloud.get(Identity), cloud.get(Admission)

    def principal(self, authorization: str) -> str:
        """The caller's e-mail for an Authorization header; '' without one. Raises UNAUTHENTICATED on a bad one."""
        return self._identity.principal(authorization)

    async def rpc(self, rpc: Rpc, request: Message, call: Call) -> Message:
        """One RPC through faults, identity, enabled API and permission to its handler.

        To faults and the journal one that only validates is another method: it changes nothing.
        """
        if getattr(request, "validate_only", False):
            call = replace(call, method=f"{call.method}?validateOnly")
        async with self._journal.observed(call) as fault:
            handler = self._handlers.get(rpc.method)
            if handler is None:
                raise unimplemented(rpc.method)
            if not call.principal:
                raise unauthenticated()
            self._admission.admit(handler, rpc.host, request, call)
            if fault and fault.drop == "late":
                self._background.spawn(_later(handler.run(request, call), fault.delay_s))
                raise Dropped
            response = await handler.run(request, call)
            if fault and fault.drop == "after":
                raise Dropped
            return fault.cut(response) if fault else response

    async def route(
        self, route: Route, request: web.Request, call: Call, variables: dict[str, Any]
    ) -> web.StreamResponse:
        """One REST-only call through faults and identity to its handler."""
        async with self._journal.observed(call) as fault:
            if not call.principal and not route.anonymous:
                raise unauthenticated()
            response = await route.run(request, call, **variables)
            if fault and fault.drop == "after":
                raise Dropped
            return fault.cut_json(response) if fault else response


async def _later(work: Awaitable[Message], delay_s: float) -> None:
    """A call whose caller has hung up: what becomes of it nobody is told."""
    await asyncio.sleep(delay_s)
    with suppress(RpcError):
        await work

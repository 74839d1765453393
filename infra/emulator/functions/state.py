"""The functions there are, by full name under the project's id."""

from __future__ import annotations

from typing import Any

from google.cloud.functions_v2.types import Function

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import not_found

FunctionPb: Any = Function.pb()
State = Function.State
RESTARTED = "The local Google Cloud was restarted while the function was being changed."


class Functions:
    def __init__(self, cloud: Cloud) -> None:
        self.table = cloud.store.messages("functions", FunctionPb)
        cloud.on_start.append(self._begin)

    def find(self, name: str) -> Any:
        found = self.table.get(name)
        if found is None:
            raise not_found(f"Resource '{name}' was not found")
        return found

    def put(self, function: Any, state: int, message: str = "") -> Any:
        """Stores it in that state, with what is to be said of a failure."""
        function.state = state
        del function.state_messages[:]
        if message:
            function.state_messages.add(severity=1, type_="CloudRunServiceNotReady", message=message)
        function.update_time.GetCurrentTime()
        self.table.put(function.name, function)
        return function

    async def _begin(self) -> None:
        """The build that a function was waiting for ended with the emulator."""
        for function in list(self.table.list()):
            if function.state in (State.DEPLOYING, State.DELETING):
                self.put(function, State.FAILED, RESTARTED)

"""`slipway serve`: what other systems ask over HTTP, in a process of its own beside Prefect's."""

from __future__ import annotations

import ipaddress
import os
from typing import Annotated

import uvicorn
from cyclopts import Parameter
from prefect.settings import PREFECT_API_URL, temporary_settings

from cli.local import use_local_stack
from cli.runs import api_url
from tasks.failures.errors import ParameterError

TOKENS, SECRETS, CALLERS = "SLIPWAY_API_TOKENS", "SLIPWAY_HOOK_SECRETS", "SLIPWAY_API_CALLERS"


def serve_command(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(name=["--port", "-p"], help="Port to listen on.")] = 8686,
) -> int:
    """The command; `cli.main` has its help, so that this module is loaded only when it runs."""
    refuse_open(host, os.environ.get(TOKENS, "") + os.environ.get(CALLERS, ""))
    use_local_stack()
    url = api_url()
    if not os.environ.get(SECRETS, "").strip():
        print(f"No webhook is taken: {SECRETS} is not set.")
    print(f"http://{host}:{port}/ shows what serves; /docs what else can be asked.")
    with temporary_settings({PREFECT_API_URL: url}):
        uvicorn.run(
            "api.app:made", factory=True, host=host, port=port, log_level="warning", timeout_graceful_shutdown=5
        )
    return 0


def refuse_open(host: str, tokens: str) -> None:
    """Raises ParameterError where other machines could ask without a token. tokens: or who may have one of Google's."""
    if tokens.strip():
        return
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise ParameterError(
            f"{host} can be reached from other machines, and no token is set.",
            f"set {TOKENS} to one token or more, such as that of: openssl rand -hex 32. Or {CALLERS}: "
            "docs/how-to/serve.md",
        )

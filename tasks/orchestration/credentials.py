"""Which credentials a run acts with: Application Default ones, or a prefect-gcp block that the environment names."""

from __future__ import annotations

import os

from infra.gcp.calls.clients import use_credentials
from tasks.failures.errors import ParameterError

VARIABLE = "SLIPWAY_GCP_CREDENTIALS_BLOCK"


async def use_credentials_block() -> None:
    """Loads the GcpCredentials block called by $SLIPWAY_GCP_CREDENTIALS_BLOCK; without it, leaves the defaults."""
    name = os.environ.get(VARIABLE)
    if not name:
        return
    from prefect_gcp import GcpCredentials  # takes 0.4 s to import, which few runs need

    try:
        block = await GcpCredentials.aload(name)
    except ValueError as error:
        raise ParameterError(
            f"{VARIABLE} names the Prefect block gcp-credentials/{name}, which does not exist.",
            "create it in the Prefect UI under Blocks, or unset the variable to use Application Default Credentials.",
        ) from error
    use_credentials(block.get_credentials_from_service_account())

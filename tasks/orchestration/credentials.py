"""Which credentials a run acts with: Application Default ones, or a prefect-gcp block that the environment names."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from infra.gcp.calls.clients import use_credentials
from tasks.failures.errors import ParameterError

if TYPE_CHECKING:
    from prefect_gcp import GcpCredentials

VARIABLE = "SLIPWAY_GCP_CREDENTIALS_BLOCK"


async def use_credentials_block() -> None:
    """Loads the GcpCredentials block called by $SLIPWAY_GCP_CREDENTIALS_BLOCK; without it, leaves the defaults."""
    name = os.environ.get(VARIABLE)
    if not name:
        return
    block = await _block(name)
    use_credentials(block.get_credentials_from_service_account())


async def credentials_variables() -> dict[str, str]:
    """The same credentials for a program that runs beside, such as Terraform; none where they are the default ones.

    https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference#credentials-1
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return {}
    return _told(await _block(name))


def _told(block: GcpCredentials) -> dict[str, str]:
    if block.service_account_info:
        return {"GOOGLE_CREDENTIALS": json.dumps(block.service_account_info.get_secret_value())}
    return {"GOOGLE_CREDENTIALS": str(block.service_account_file)} if block.service_account_file else {}


async def _block(name: str) -> GcpCredentials:
    from prefect_gcp import GcpCredentials  # takes 0.4 s to import, which few runs need

    try:
        return await GcpCredentials.aload(name)
    except ValueError as error:
        raise ParameterError(
            f"{VARIABLE} names the Prefect block gcp-credentials/{name}, which does not exist.",
            "create it in the Prefect UI under Blocks, or unset the variable to use Application Default Credentials.",
        ) from error

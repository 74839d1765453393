"""Which credentials a run acts with: Application Default ones, or a prefect-gcp block that the environment names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from infra.gcp.calls.clients import use_credentials
from infra.gcp.calls.errors import from_exception, is_foreign
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError
from tasks.failures.redact import redact

if TYPE_CHECKING:
    from prefect_gcp import GcpCredentials

VARIABLE = "SLIPWAY_GCP_CREDENTIALS_BLOCK"


async def use_credentials_block() -> None:
    """Loads the GcpCredentials block called by $SLIPWAY_GCP_CREDENTIALS_BLOCK; without it, leaves the defaults."""
    name = os.environ.get(VARIABLE)
    if not name:
        return
    block = await _block(name)
    with _usable(name):
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

    with _usable(name):
        try:
            return await GcpCredentials.aload(name)
        except ValueError as error:
            if not isinstance(error.__cause__, ObjectNotFound):
                raise
    raise ParameterError(
        f"{VARIABLE} names the Prefect block gcp-credentials/{name}, which does not exist.",
        "create it in the Prefect UI under Blocks, or unset the variable to use Application Default Credentials.",
        Cause.NOT_FOUND,
    )


@contextmanager
def _usable(name: str) -> Iterator[None]:
    """Says what is wrong with what the block holds, and shows nothing of it."""
    try:
        yield
    except Exception as error:
        found = error.__cause__ if isinstance(error.__cause__, ValidationError) else error
        if not (isinstance(found, ValueError) or _is_of_credentials(found)):
            raise
        said = found.errors()[0]["msg"] if isinstance(found, ValidationError) else str(found)
        raise ParameterError(
            f"The Prefect block gcp-credentials/{name}, which {VARIABLE} names, holds no credentials that can be used: "
            f"{redact(said)}",
            "correct it in the Prefect UI under Blocks: the whole key file of a service account, or nothing at all for "
            "Application Default Credentials.",
            Cause.PERMISSION,
        ) from None


def _is_of_credentials(error: Exception) -> bool:
    """Not whether Prefect could be asked for the block."""
    return is_foreign(error) and from_exception(error, "").status == "UNAUTHENTICATED"

"""Creating what is missing: what counts as there."""

from __future__ import annotations

import pytest

from infra.gcp.calls.errors import GoogleError
from tasks.preflight.create import unless_there


async def refused(status: str) -> None:
    raise GoogleError("artifactregistry.repositories.create", status, "no", http_status=409)


async def test_what_somebody_else_has_created_meanwhile_need_not_be_created() -> None:
    await unless_there(refused("ALREADY_EXISTS"))


async def test_a_creation_that_was_aborted_is_not_taken_for_one_that_was_not_needed() -> None:
    with pytest.raises(GoogleError, match="ABORTED"):
        await unless_there(refused("ABORTED"))

"""A program that runs beside acts as the run does, whichever way the block names its account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prefect_gcp import GcpCredentials

from tasks.orchestration.credentials import _told
from tests.conftest import PROJECT
from tests.infra.emulator.identities import new_identity

pytestmark = pytest.mark.usefixtures("cloud_env")


def test_an_account_is_told_by_its_key_or_by_the_file_that_holds_it(tmp_path: Path) -> None:
    file = new_identity(tmp_path, [], PROJECT).key_file
    key = json.loads(file.read_text())
    assert json.loads(_told(GcpCredentials(service_account_info=key))["GOOGLE_CREDENTIALS"]) == key
    assert _told(GcpCredentials(service_account_file=file)) == {"GOOGLE_CREDENTIALS": str(file)}

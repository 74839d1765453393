"""Who may write to Firestore is the local cloud's to say, with or without a database behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.firestore.relay import needed
from infra.gcp.calls.clients import use_credentials
from infra.gcp.calls.errors import GoogleError
from infra.gcp.firestore import Document, write, written
from tests.conftest import PROJECT
from tests.infra.emulator.discovery import load
from tests.infra.emulator.identities import new_identity

LINE = Document("deployments/run/logs/one", {"message": "line", "number": 1})


async def test_a_project_without_a_database_says_so(cloud_env: dict[str, str]) -> None:
    with pytest.raises(GoogleError, match=f"database other does not exist for project {PROJECT}") as raised:
        await write(PROJECT, "other", [LINE])
    assert raised.value.status == "NOT_FOUND"


async def test_who_may_not_write_is_refused(cloud_env: dict[str, str], tmp_path: Path) -> None:
    use_credentials(new_identity(tmp_path, ["roles/datastore.viewer"]).credentials)
    try:
        with pytest.raises(GoogleError, match=r"datastore\.entities\.(create|update)") as raised:
            await write(PROJECT, "(default)", [LINE])
        assert raised.value.status == "PERMISSION_DENIED"
    finally:
        use_credentials(None)


@pytest.mark.parametrize(
    ("body", "permissions"),
    [
        (b'{"writes": [{"update": {}}]}', {"datastore.entities.create", "datastore.entities.update"}),
        (b'{"writes": [{"update": {}, "currentDocument": {"exists": false}}]}', {"datastore.entities.create"}),
        (b'{"writes": [{"update": {}, "currentDocument": {"exists": true}}]}', {"datastore.entities.update"}),
        (b'{"writes": [{"delete": "x"}]}', {"datastore.entities.delete"}),
        (b"", {"datastore.databases.get"}),
    ],
    ids=["set", "create", "update", "delete", "nothing"],
)
def test_a_write_needs_what_it_does(body: bytes, permissions: set[str]) -> None:
    assert needed(body) == permissions


@pytest.mark.parametrize("merge", [False, True])
def test_what_is_sent_is_what_googles_discovery_document_describes(merge: bool) -> None:
    values: dict[str, Any] = {"text": "x", "yes": True, "whole": 2**40, "part": 0.5}
    document = Document("deployments/run", {**values, "at": datetime(2026, 11, 28, 12, tzinfo=UTC)}, merge)
    body = {"writes": [written("projects/p/databases/(default)/documents", document)]}
    assert list(load("firestore.v1").body_violations("CommitRequest", body)) == []
    [sent] = body["writes"]
    assert sent["update"]["fields"]["at"] == {"timestampValue": "2026-11-28T12:00:00.000000Z"}
    assert sent["update"]["fields"]["yes"] == {"booleanValue": True}
    assert ("updateMask" in sent) is merge

"""Firestore: documents, many in one write.

Over REST: of its client package one method would be used, and its import takes longer than many runs' first write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from infra.gcp.calls.rest import post_json

ROOT = "https://firestore.googleapis.com/v1"
Value: TypeAlias = str | bool | int | float | datetime


@dataclass(frozen=True, slots=True)
class Document:
    """What is written. path: deployments/ID/logs/ID. merge: fields that are not named stay as they were."""

    path: str
    fields: Mapping[str, Value]
    merge: bool = False


async def write(project: str, database: str, documents: Sequence[Document]) -> None:
    """All of them or none, in order; those that are not there are made. Raises GoogleError.

    At most 10 MiB: https://cloud.google.com/firestore/quotas#writes_and_transactions
    """
    base = f"projects/{project}/databases/{database}/documents"
    body = {"writes": [written(base, each) for each in documents]}
    await post_json("firestore.documents.commit", f"{ROOT}/{base}:commit", body)


def written(base: str, document: Document) -> dict[str, Any]:
    """https://cloud.google.com/firestore/docs/reference/rest/v1/Write"""
    fields = {name: encoded(value) for name, value in document.fields.items()}
    write: dict[str, Any] = {"update": {"name": f"{base}/{document.path}", "fields": fields}}
    return write | ({"updateMask": {"fieldPaths": sorted(fields)}} if document.merge else {})


def encoded(value: Value) -> dict[str, Any]:
    """https://cloud.google.com/firestore/docs/reference/rest/Shared.Types/ArrayValue#Value"""
    match value:
        case bool():
            return {"booleanValue": value}
        case int():
            return {"integerValue": str(value)}
        case float():
            return {"doubleValue": value}
        case datetime():
            return {"timestampValue": f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"}
        case str():
            return {"stringValue": value}

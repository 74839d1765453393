"""Hands requests for documents on to gcloud's Firestore emulator, after the caller's rights were looked at.

That one knows documents, queries and security rules, and lets anybody in who says "owner". Where it listens says
$FIRESTORE_EMULATOR_HOST, as Google's own clients read it, or `PUT /firestore` of the admin port. Without it no project
has a database, which is what Google answers, too, until somebody makes one.
https://cloud.google.com/firestore/docs/emulator
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from google.rpc.code_pb2 import Code
from pydantic import BaseModel, ConfigDict

from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, invalid, not_found
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.projects import Projects

HOST = "firestore.googleapis.com"
PATH = "/v1/projects/{project}/databases/{database}/documents{rest=**}"
LARGEST = 10 << 20  # bytes: https://cloud.google.com/firestore/quotas#writes_and_transactions
DEADLINE_S = 60.0
READING = ("datastore.entities.get", "datastore.entities.list")


class Told(BaseModel):
    model_config = ConfigDict(extra="forbid")

    host: str = ""  # host:port of the emulator


class Firestore:
    def __init__(self, cloud: Cloud) -> None:
        self._projects, self._admission = cloud.get(Projects), cloud.get(Admission)
        self._told = Told(host=os.environ.get("FIRESTORE_EMULATOR_HOST", ""))
        cloud.told["/firestore"] = self

    def show(self) -> object:
        return self._told.model_dump()

    def take(self, body: bytes) -> None:
        self._told = Told.model_validate_json(body)

    @route("GET", PATH, method="firestore.documents.get", host=HOST)
    async def read(self, request: web.Request, call: Call, project: str, database: str, rest: str) -> web.Response:
        return await self._passed(request, call, project, database, READING)

    @route("POST", PATH, method="firestore.documents.commit", host=HOST)
    async def write(self, request: web.Request, call: Call, project: str, database: str, rest: str) -> web.Response:
        reads = rest.endswith((":runQuery", ":batchGet", ":listCollectionIds", ":runAggregationQuery"))
        body = await request.read()
        if len(body) > LARGEST:
            raise invalid(f"Request payload size exceeds the limit: {LARGEST} bytes.")
        return await self._passed(request, call, project, database, READING if reads else needed(body))

    async def _passed(
        self, request: web.Request, call: Call, project: str, database: str, permissions: Iterable[str]
    ) -> web.Response:
        found = self._projects.find(project)
        self._projects.require(found, HOST)
        for permission in permissions:
            self._admission.require(call.principal, permission, f"projects/{found.id}", HOST)
        if not self._told.host or database != "(default)":
            page = f"https://console.cloud.google.com/datastore/setup?project={found.id}"
            raise not_found(
                f"The database {database} does not exist for project {found.id} Please visit {page} to add a Cloud "
                "Datastore or Cloud Firestore database. "
            )
        url = f"http://{self._told.host}{request.raw_path}"
        headers = {"Authorization": "Bearer owner", "Content-Type": "application/json"}
        try:
            async with (
                ClientSession(timeout=ClientTimeout(DEADLINE_S)) as session,
                session.request(request.method, url, data=await request.read(), headers=headers) as answer,
            ):
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
        except (ClientError, TimeoutError) as error:
            raise RpcError(
                Code.UNAVAILABLE, f"The service is currently unavailable ({type(error).__name__})."
            ) from error


def needed(body: bytes) -> set[str]:
    """The permissions that writes need: https://cloud.google.com/firestore/docs/security/iam#required_permissions"""
    try:
        writes: list[dict[str, Any]] = json.loads(body or b"{}").get("writes", [])
    except (ValueError, AttributeError):
        raise invalid("Invalid JSON payload received.") from None
    found: set[str] = set()
    for each in writes:
        exists = each.get("currentDocument", {}).get("exists")
        if "delete" in each:
            found.add("datastore.entities.delete")
        else:
            found |= {"datastore.entities.create"} if exists is not True else set()
            found |= {"datastore.entities.update"} if exists is not False else set()
    return found or {"datastore.databases.get"}

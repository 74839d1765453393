"""Container Analysis: notes and occurrences that people write, as `gcloud artifacts sbom load` does."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from infra.emulator.artifacts.containeranalysis import HOST
from infra.emulator.artifacts.occurrences import Occurrences, stamp
from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import already_exists, invalid, not_found
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.projects import Projects

NOTES, OCCURRENCES = "/v1/projects/{project}/notes", "/v1/projects/{project}/occurrences"
NOTE_ID = re.compile(r"[A-Za-z0-9_.~-]{1,200}")
KINDS = {"SBOM_REFERENCE": "sbomReference"}  # by kind what says it; no others are written here
Json = dict[str, Any]


class NotesApi:
    """https://cloud.google.com/artifact-analysis/docs/reference/rest/v1/projects.notes"""

    def __init__(self, cloud: Cloud) -> None:
        self._projects, self._admission = cloud.get(Projects), cloud.get(Admission)
        self._found = cloud.get(Occurrences)

    @route("GET", f"{NOTES}/{{note}}", method="containeranalysis.notes.get", host=HOST)
    async def get_note(self, _: web.Request, call: Call, project: str, note: str) -> web.Response:
        return web.json_response(self._note(f"{self._admit(call, project, 'notes.get')}/notes/{note}"))

    @route("POST", NOTES, method="containeranalysis.notes.create", host=HOST)
    async def create_note(self, request: web.Request, call: Call, project: str) -> web.Response:
        parent, body = self._admit(call, project, "notes.create"), await _body(request)
        note_id = request.query.get("noteId", "")
        if not NOTE_ID.fullmatch(note_id):
            raise invalid("note ID is empty or has characters that it must not have", "note_id")
        name, kind = f"{parent}/notes/{note_id}", _kind(body)
        if name in self._found.notes:
            raise already_exists(f"note with ID {note_id!r} for project {project!r} already exists")
        made = {**body, "name": name, "kind": kind, "createTime": stamp(), "updateTime": stamp()}
        self._found.notes.put(name, made)
        return web.json_response(made)

    @route("POST", OCCURRENCES, method="containeranalysis.occurrences.create", host=HOST)
    async def create(self, request: web.Request, call: Call, project: str) -> web.Response:
        parent, body = self._admit(call, project, "occurrences.create"), await _body(request)
        if not body.get("resourceUri"):
            raise invalid("occurrence.resource_uri is required", "occurrence.resource_uri")
        note = self._note(self._projects.canonical(str(body.get("noteName") or "projects/-/notes/-")))
        kind = _kind(body)
        if note["kind"] != kind:
            raise invalid(f"occurrence kind {kind} does not match note kind {note['kind']}", "occurrence")
        made = {**body, "noteName": note["name"], "kind": kind}
        return web.json_response(self._found.add(parent.partition("/")[2], made))

    @route("GET", f"{OCCURRENCES}/{{occurrence}}", method="containeranalysis.occurrences.get", host=HOST)
    async def get(self, _: web.Request, call: Call, project: str, occurrence: str) -> web.Response:
        return web.json_response(self._occurrence(f"{self._admit(call, project, 'occurrences.get')}", occurrence))

    @route("PATCH", f"{OCCURRENCES}/{{occurrence}}", method="containeranalysis.occurrences.update", host=HOST)
    async def update(self, request: web.Request, call: Call, project: str, occurrence: str) -> web.Response:
        """What the mask names is replaced, without one all that is sent."""
        found = self._occurrence(self._admit(call, project, "occurrences.update"), occurrence)
        body = await _body(request)
        asked = [_camel(each) for each in request.query.get("updateMask", "").split(",") if each] or list(body)
        changed = {
            key: body[key] for key in asked if key in body and key in ("sbomReference", "envelope", "remediation")
        }
        return web.json_response(self._found.put({**found, **changed, "updateTime": stamp()}))

    @route("DELETE", f"{OCCURRENCES}/{{occurrence}}", method="containeranalysis.occurrences.delete", host=HOST)
    async def delete(self, _: web.Request, call: Call, project: str, occurrence: str) -> web.Response:
        found = self._occurrence(self._admit(call, project, "occurrences.delete"), occurrence)
        self._found.delete(found["name"])
        return web.json_response({})

    def _admit(self, call: Call, project: str, permission: str) -> str:
        found = self._projects.find(project)
        self._projects.require(found, HOST)
        parent = f"projects/{found.id}"
        self._admission.require(call.principal, f"containeranalysis.{permission}", parent, HOST)
        return parent

    def _note(self, name: str) -> Json:
        found = self._found.notes.get(name)
        if found is None:
            raise not_found(
                f"note with ID {name.rpartition('/')[2]!r} for project {name.split('/')[1]!r} does not exist"
            )
        return dict(found)

    def _occurrence(self, parent: str, occurrence: str) -> Json:
        found = self._found.get(f"{parent}/occurrences/{occurrence}")
        if found is None:
            raise not_found(
                f"occurrence with ID {occurrence!r} for project {parent.partition('/')[2]!r} does not exist"
            )
        return found


def _kind(body: Json) -> str:
    """What it is about. Raises INVALID_ARGUMENT."""
    kind = next((kind for kind, field in KINDS.items() if body.get(field)), "")
    if not kind:
        raise invalid(f"one of {', '.join(KINDS.values())} is required here")
    return kind


def _camel(path: str) -> str:
    first, *rest = path.split("_")
    return first + "".join(word.capitalize() for word in rest)


async def _body(request: web.Request) -> Json:
    try:
        return dict(await request.json())
    except ValueError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error

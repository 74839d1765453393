"""Container Analysis: what scanners have found in images. None runs here, so the lists are empty."""

from __future__ import annotations

from aiohttp import web

from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.projects import Projects

HOST = "containeranalysis.googleapis.com"


class ContainerAnalysis:
    def __init__(self, cloud: Cloud) -> None:
        self._projects, self._admission = cloud.get(Projects), cloud.get(Admission)

    @route("GET", "/v1/projects/{project}/occurrences", method="containeranalysis.occurrences.list", host=HOST)
    async def list(self, _: web.Request, call: Call, project: str) -> web.Response:
        """`gcloud artifacts docker images describe` asks for an image's vulnerabilities, provenance and so on."""
        self._projects.require(self._projects.find(project), HOST)
        self._admission.require(call.principal, "containeranalysis.occurrences.list", f"projects/{project}", HOST)
        return web.json_response({})

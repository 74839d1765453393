"""Container Analysis: what scanners have found in images. None runs here, so the lists are empty."""

from __future__ import annotations

from aiohttp import web

from infra.emulator.kernel.cloud import Call, Cloud, route

HOST = "containeranalysis.googleapis.com"


class ContainerAnalysis:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    @route("GET", "/v1/projects/{project}/occurrences", method="containeranalysis.occurrences.list", host=HOST)
    async def list(self, _: web.Request, call: Call, project: str) -> web.Response:
        """`gcloud artifacts docker images describe` asks for an image's vulnerabilities, provenance and so on."""
        self._cloud.projects.require(self._cloud.projects.find(project), HOST)
        self._cloud.require(call.principal, "containeranalysis.occurrences.list", f"projects/{project}", HOST)
        return web.json_response({})

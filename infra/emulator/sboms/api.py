"""Container Analysis: exportSBOM, which writes the bill of materials of a scanned image into a bucket.

https://cloud.google.com/artifact-analysis/docs/generate-store-sboms
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote, unquote

from aiohttp import web

from infra.emulator.artifacts.containeranalysis import HOST
from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.occurrences import Occurrences, stamp
from infra.emulator.artifacts.packages import packages
from infra.emulator.artifacts.scanner import Scanner
from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import failed_precondition, invalid, not_found
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.projects import Project, Projects
from infra.emulator.sboms.spdx import document
from infra.emulator.storage.objects import Objects

STAGE = "artifacts.sbom"  # how long it takes
NOTE = "projects/goog-analysis/notes/sbom-spdx-2-3"
EXPORT = "/projects/{project}/resources/{resource=**}:exportSBOM"
PREDICATE = "https://bcid.corp.google.com/reference/v0.1"  # as gcloud and Google write it
Json = dict[str, Any]


class Sboms:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._projects, self._admission = cloud, cloud.get(Projects), cloud.get(Admission)
        self._scanner, self._images, self._objects = cloud.get(Scanner), cloud.get(Images), cloud.get(Objects)
        self._found = cloud.get(Occurrences)

    @route("POST", f"/v1{EXPORT}", method="containeranalysis.resources.exportSBOM", host=HOST)
    async def export(self, _: web.Request, call: Call, project: str, resource: str) -> web.Response:
        return web.json_response({"discoveryOccurrence": self._begin(call, project, resource)})

    @route("POST", f"/v1beta1{EXPORT}", method="containeranalysis.resources.exportSBOM", host=HOST)
    async def export_beta(self, _: web.Request, call: Call, project: str, resource: str) -> web.Response:
        """As gcloud asks for it."""
        name = self._begin(call, project, resource)
        return web.json_response({"discoveryOccurrenceId": name.rpartition("/")[2]})

    def _begin(self, call: Call, project_name: str, resource: str) -> str:
        """The name of the discovery whose sbomStatus tells how far it is.

        It takes a permission to read: https://cloud.google.com/artifact-analysis/docs/artifact-analysis-audit-logging
        """
        project, uri = self._projects.find(project_name), unquote(resource)
        self._projects.require(project, HOST)
        self._admission.require(call.principal, "containeranalysis.occurrences.list", f"projects/{project.id}", HOST)
        if not uri.startswith("https://") or "@sha256:" not in uri:
            raise invalid(
                "The resource must be the URI of an image with its digest: https://HOST/IMAGE@sha256:…", "name"
            )
        discovery = self._discovery(project, uri)
        if discovery is None:
            raise not_found(f"There is no discovery occurrence of {uri}: it was not scanned.")
        if discovery["discovery"]["analysisStatus"] != "FINISHED_SUCCESS":
            raise failed_precondition(f"The scan of {uri} has not finished with success.")
        if self._scanner.sbom_state(uri) != "PENDING":
            self._scanner.tell_sbom(uri, "PENDING")
            self._cloud.background.spawn(self._write(project, uri))
        return str(discovery["name"])

    def _discovery(self, project: Project, uri: str) -> Json | None:
        found = self._scanner.occurrences(project.id)
        return next((each for each in found if each["kind"] == "DISCOVERY" and each["resourceUri"] == uri), None)

    async def _write(self, project: Project, uri: str) -> None:
        await self._cloud.behaviour.pause(STAGE)
        name = uri.removeprefix("https://")
        location = name.partition("-docker.pkg.dev")[0]
        made = document(name, name.partition("@")[2], packages(self._images.layers(name)), _seconds())
        text = json.dumps(made, indent=2).encode()
        bucket, path = f"artifactanalysis-{location}-{project.number}", f"{quote(name, safe='')}/sbom/spdx-2-3.json"
        if not self._objects.exists(bucket):
            self._objects.create_bucket(bucket, project.id, location)
        self._objects.write(bucket, path, text, "application/spdx+json")
        predicate = {
            "digest": {"sha256": hashlib.sha256(text).hexdigest()},
            "location": f"gs://{bucket}/{path}",
            "mimeType": "application/spdx+json",
            "referrerId": "https://containeranalysis.googleapis.com/ArtifactAnalysis@v0.1",
        }
        subject = {"name": name, "digest": {"sha256": name.partition("@sha256:")[2]}}
        payload = {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": PREDICATE,
            "predicate": predicate,
            "subject": [subject],
        }
        self._refer(project, uri, {"payload": payload, "payloadType": "application/vnd.in-toto+json"})
        self._scanner.tell_sbom(uri, "COMPLETE")

    def _refer(self, project: Project, uri: str, reference: Json) -> None:
        """One reference for an image: a later export takes the place of the earlier one."""
        body = {"resourceUri": uri, "noteName": NOTE, "kind": "SBOM_REFERENCE", "sbomReference": reference}
        for each in self._found.of(project.id):
            if (each["resourceUri"], each["noteName"]) == (uri, NOTE):
                self._found.put({**each, **body, "updateTime": stamp()})
                return
        self._found.add(project.id, body)


def _seconds() -> str:
    return stamp().partition(".")[0] + "Z"

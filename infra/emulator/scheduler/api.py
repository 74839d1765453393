"""Cloud Scheduler v1. https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import already_exists, invalid, not_found
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.locations import check_location
from infra.emulator.projects.projects import Projects

HOST = "cloudscheduler.googleapis.com"
JOBS = "/v1/projects/{project}/locations/{location}/jobs"
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
# https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules: unix-cron, or App Engine's own words
SCHEDULE = re.compile(r"\S+( \S+){4}|every .+")
TARGETS = ("httpTarget", "pubsubTarget", "appEngineHttpTarget")
LARGEST_PAGE = 500
DEFAULTS = {
    "timeZone": "Etc/UTC",
    "attemptDeadline": "180s",
    "retryConfig": {
        "maxRetryDuration": "0s",
        "minBackoffDuration": "5s",
        "maxBackoffDuration": "3600s",
        "maxDoublings": 5,
    },
}
Json = dict[str, Any]


class CloudScheduler:
    def __init__(self, cloud: Cloud) -> None:
        self._projects, self._admission = cloud.get(Projects), cloud.get(Admission)
        self._table = cloud.store.values("schedules")

    @route("GET", JOBS, method="cloudscheduler.jobs.list", host=HOST)
    async def list(self, request: web.Request, call: Call, project: str, location: str) -> web.Response:
        parent = self._admit(call, project, location, "list")
        size = request.query.get("pageSize", "0") or "0"
        if not size.isdecimal():
            raise invalid("Request contains an invalid argument.")
        many = min(int(size) or LARGEST_PAGE, LARGEST_PAGE)
        found, token = self._table.page(f"{parent}/jobs/", many, request.query.get("pageToken", ""))
        answer: Json = {"jobs": list(found), "nextPageToken": token}
        return web.json_response({key: value for key, value in answer.items() if value})

    @route("GET", f"{JOBS}/{{name}}", method="cloudscheduler.jobs.get", host=HOST)
    async def get(self, _: web.Request, call: Call, project: str, location: str, name: str) -> web.Response:
        return web.json_response(self._find(f"{self._admit(call, project, location, 'get')}/jobs/{name}"))

    @route("POST", JOBS, method="cloudscheduler.jobs.create", host=HOST)
    async def create(self, request: web.Request, call: Call, project: str, location: str) -> web.Response:
        parent = self._admit(call, project, location, "create")
        try:
            body: Json = dict(await request.json())
        except ValueError as error:
            raise invalid(f"Invalid JSON payload received. {error}") from error
        job = _checked(parent, body)
        if job["name"] in self._table:
            raise already_exists(f"Job {job['name']} already exists.")
        self._table.put(job["name"], job)
        return web.json_response(job)

    @route("DELETE", f"{JOBS}/{{name}}", method="cloudscheduler.jobs.delete", host=HOST)
    async def delete(self, _: web.Request, call: Call, project: str, location: str, name: str) -> web.Response:
        self._table.delete(str(self._find(f"{self._admit(call, project, location, 'delete')}/jobs/{name}")["name"]))
        return web.json_response({})

    def _admit(self, call: Call, project: str, location: str, verb: str) -> str:
        parent = f"projects/{self._projects.find(project).id}/locations/{location}"
        check_location(parent)
        permission = f"cloudscheduler.jobs.{verb}"
        self._admission.require_usable(parent, HOST, permission)
        self._admission.require(call.principal, permission, parent, HOST)
        return parent

    def _find(self, name: str) -> Json:
        found = self._table.get(name)
        if found is None:
            raise not_found("Job not found.")
        return dict(found)


def _checked(parent: str, body: Json) -> Json:
    """The job as it is kept. Raises INVALID_ARGUMENT."""
    name, schedule = str(body.get("name") or f"{parent}/jobs/{time.time_ns()}"), str(body.get("schedule") or "")
    if not name.startswith(f"{parent}/jobs/") or not JOB_ID.fullmatch(name.rpartition("/")[2]):
        raise invalid(f'Job name must be formatted: "{parent}/jobs/JOB_ID".', "job.name")
    if not SCHEDULE.fullmatch(schedule):
        raise invalid("Schedule or time zone is invalid.", "job.schedule")
    if len([target for target in TARGETS if body.get(target)]) != 1:
        raise invalid("A job must have exactly one target.", "job.target")
    uri = (body.get("httpTarget") or {}).get("uri")
    if "httpTarget" in body and not re.match(r"https?://[^/\s]+", str(uri)):
        raise invalid("HttpTarget.uri must start with http:// or https://.", "job.http_target.uri")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**DEFAULTS, **body, "name": name, "state": "ENABLED", "userUpdateTime": now}

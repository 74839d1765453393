"""What was read of Cloud Run and Cloud Scheduler, in the form in which it can be written again. Pure.

A service, job or worker pool becomes what `gcloud run … replace` takes, in this project or in an empty one: what Google
fills in goes, as in `gcloud run services describe --format export`, and traffic that only revisions from before could
take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
RUN, SERVING = "run.googleapis.com", "serving.knative.dev"
# What Google notes about a change, and no setting.
NOTED = {
    *(f"{group}/{name}" for group in (RUN, SERVING) for name in ("creator", "lastModifier")),
    *(f"{RUN}/{name}" for name in ("client-name", "client-version", "creatorEmail", "lastModifierEmail")),
    *(f"{RUN}/{name}" for name in ("operation-id", "lastUpdatedTime", "urls", "ingress-status")),
}
OF_THE_OBJECT = (
    "namespace", "creationTimestamp", "deletionTimestamp", "generation", "resourceVersion", "selfLink", "uid"
)  # fmt: skip
# Who writes a job with one of these starts it: https://cloud.google.com/run/docs/reference/rest/v1/JobSpec
STARTING = ("startExecutionToken", "runExecutionToken")
# https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs#Job: what only Google writes
OF_THE_SCHEDULE = ("userUpdateTime", "status", "scheduleTime", "lastAttemptTime", "satisfiesPzs")
HEADERS = ("content-type", "user-agent")  # of a schedule's request those that are no secret
KEPT_BACK = "***"


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing of the app, as it is kept."""

    kind: str  # services, jobs, workerPools or schedules
    region: str
    name: str  # short
    body: Json  # what can be written again
    note: str = ""  # what of it is not in there

    @property
    def path(self) -> str:
        """Where it is kept, below the folder of the backup."""
        return f"{self.region}/{self.kind}/{self.name}.{'json' if self.kind == 'schedules' else 'yaml'}"

    @property
    def resource(self) -> str:
        """Its name in v2, below its project."""
        return f"locations/{self.region}/{self.kind}/{self.name}"


def kept(kind: str, region: str, found: Mapping[str, Any]) -> Kept:
    """found: an object of v1, as its list has it."""
    made: Json = deepcopy({key: value for key, value in found.items() if key != "status"})
    _without_default(made)
    _clean(made["metadata"])
    template = made["spec"].get("template") or {}
    _clean(template.get("metadata") or {})
    note = ""
    if kind == "jobs":
        for token in STARTING:
            made["spec"].pop(token, None)
    elif shares := {"services": "traffic", "workerPools": "instanceSplits"}.get(kind):
        own = (template.get("metadata") or {}).get("name", "")
        made["spec"][shares], note = _of_itself(made["spec"].get(shares) or [], own)
        if not made["spec"][shares]:
            del made["spec"][shares]
    return Kept(kind, region, made["metadata"]["name"], made, note)


def _without_default(found: Json) -> None:
    """What runs as the account that Google chooses does so in every project, as that project's.

    https://cloud.google.com/compute/docs/access/service-accounts#default_service_account
    """
    chosen = f"{found['metadata'].get('namespace', '')}-compute@developer.gserviceaccount.com"
    within = found["spec"]
    while within := within.get("template") or within.get("spec") or {}:
        if within.get("serviceAccountName") == chosen:
            del within["serviceAccountName"]


def _clean(metadata: Json) -> None:
    for key in OF_THE_OBJECT:
        metadata.pop(key, None)
    for part in ("annotations", "labels"):
        if part in metadata:
            metadata[part] = {key: value for key, value in metadata[part].items() if key not in NOTED}


def _of_itself(targets: Iterable[Mapping[str, Any]], own: str) -> tuple[list[Json], str]:
    """The targets that a revision of this template can take, and what is said of the others.

    own: the name that the template gives its revision; '' for a new one.
    """
    there = [dict(each) for each in targets]
    mine = [each for each in there if each.get("latestRevision") or (own and each.get("revisionName") == own)]
    others = [each for each in there if each not in mine]
    if not others:
        return there, ""
    missing = 100 - sum(each.get("percent", 0) for each in mine)
    if missing:  # all of it goes to what the template makes
        tagged = ({key: each[key] for key in each if key != "percent"} for each in mine if each.get("tag"))
        mine = [{"latestRevision": True, "percent": 100}, *tagged]
    return mine, f"not in it: {', '.join(map(_told, others))}, of which it does not say the template"


def _told(target: Mapping[str, Any]) -> str:
    tag = f" by the tag {target['tag']}" if target.get("tag") else ""
    return f"{target.get('percent', 0)} % of {target.get('revisionName', 'a revision')}{tag}"


def secrets(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The secrets that an object of v1 takes, with the version that it says: a number, or latest.

    Of another project's it is the full name, which an annotation gives.
    https://cloud.google.com/run/docs/reference/rest/v1/EnvVarSource, SecretVolumeSource
    """
    notes = list(_found(body, "annotations"))
    named = ",".join(str(each.get(f"{RUN}/secrets", "")) for each in notes)
    aliases = dict(each.split(":", 1) for each in named.split(",") if ":" in each)
    for each in _found(body, "secretKeyRef"):
        yield aliases.get(each["name"], each["name"]), str(each.get("key", "latest"))
    for each in _found(body, "secret"):
        for item in each.get("items") or ({"key": "latest"},):
            yield aliases.get(each["secretName"], each["secretName"]), str(item.get("key", "latest"))


def _found(value: object, key: str) -> Iterator[Mapping[str, Any]]:
    """All objects that are called so, however deep."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name == key and isinstance(each, Mapping):
                yield each
            else:
                yield from _found(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _found(each, key)


def schedule(region: str, found: Mapping[str, Any]) -> Kept:
    """A job of Cloud Scheduler, as its API takes it; what may be a secret is left out."""
    made: Json = deepcopy({key: value for key, value in found.items() if key not in OF_THE_SCHEDULE})
    http, note = made.get("httpTarget") or {}, ""
    hidden = [name for name in http.get("headers") or {} if name.lower() not in HEADERS]
    for name in hidden:
        http["headers"][name] = KEPT_BACK
    if hidden:
        note = f"not in it: the values of its headers {', '.join(hidden)}"
    return Kept("schedules", region, str(made["name"]).rpartition("/")[2], made, note)


def calls(found: Mapping[str, Any], urls: Iterable[str], jobs: Iterable[str]) -> bool:
    """Whether a job of Cloud Scheduler calls one of these services, or runs one of these Cloud Run jobs.

    urls: of the services; jobs: full names in v2.
    """
    uri = str((found.get("httpTarget") or {}).get("uri", ""))
    below = any(uri == url or uri.startswith((f"{url}/", f"{url}?")) for url in urls if url)
    return below or any(_runs(uri, job) for job in jobs)


def _runs(uri: str, job: str) -> bool:
    """https://cloud.google.com/run/docs/execute/jobs-on-schedule: by v2, or by v1 on the region's own host."""
    _, project, _, region, _, name = job.split("/")
    return uri.endswith(f"/{job}:run") or (
        f"//{region}-{RUN}/" in uri and uri.endswith(f"/namespaces/{project}/jobs/{name}:run")
    )


def urls_of(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The addresses of services of v1."""
    for each in found:
        status = each.get("status") or {}
        yield str(status.get("url", ""))
        yield from (str(target["url"]) for target in status.get("traffic") or () if target.get("url"))

"""The base job templates of Slipway: those that Prefect publishes, and what a release needs otherwise.

`python -m deployments.pools.templates` writes them anew beside this file, as `prefect work-pool create` takes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import prefect
from prefect_gcp.workers.cloud_run_v2 import CloudRunWorkerV2

FOLDER = Path(__file__).parent
# As Prefect's server shows them for integrations that are not installed on it.
PUBLISHED = Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json"
IMAGE = "REGION-docker.pkg.dev/PROJECT/REPOSITORY/slipway-worker@sha256:DIGEST"
ACCOUNT = "ACCOUNT@PROJECT.iam.gserviceaccount.com"
AUTH_SECRET = "prefect-auth-string"  # noqa: S105 - its name
LONGEST_RUN_S = 49 * 3600  # timeouts.total of slipway.yaml is 48 h unless it says otherwise, and giving back may follow
GRACE_S = 120  # a run that is told to end gives traffic back first, within a minute
KEPT_S = 3600  # a job that has ended, for whoever wants to look at it
USER = 1001  # of the image
SCRATCH = "/scratch"  # of the image: HOME, PREFECT_HOME and TMPDIR are there, and nothing else is written to
# A worker hands on all settings of Prefect's that it has been given. These name places on its own disk, or are a
# server's, with the password of its database.
ITS_OWN = (
    "PREFECT_API_SSL_CERT_FILE",
    "PREFECT_LOGGING_CONFIG_PATH",
    "PREFECT_PROFILES_PATH",
    "PREFECT_RESULTS_LOCAL_STORAGE_PATH",
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_PASSWORD",
    "PREFECT_SERVER_DOCKET_URL",
)
# `prefect flow-run execute` ignores SIGTERM as a container's first process, and the run would be killed unwarned. Told
# to relinquish, it passes the signal on, and the worker marks the run Crashed once that has given traffic back.
TOLD_TO_END = {"PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR": "relinquish"}
OWN_ENV: Mapping[str, str | None] = {"PREFECT_HOME": f"{SCRATCH}/prefect", **dict.fromkeys(ITS_OWN), **TOLD_TO_END}


def template(kind: str) -> dict[str, Any]:
    """The base job template of a kind of work pool."""
    published, change = KINDS[kind]
    changed = deepcopy(published())
    change(changed["job_configuration"], changed["variables"]["properties"])
    return changed


def published_by(package: str, kind: str) -> Callable[[], dict[str, Any]]:
    def read() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(PUBLISHED.read_text())
        return dict(found[package][kind]["default_base_job_configuration"])

    return read


def _process(_: dict[str, Any], variables: dict[str, Any]) -> None:
    """A run is forked from what has imported everything, where the worker has that beside it."""
    _default(variables, command="/opt/slipway/.venv/bin/python -IS /opt/slipway/deployments/warm/start.py")


def _docker(_: dict[str, Any], variables: dict[str, Any]) -> None:
    _default(variables, image=IMAGE, image_pull_policy="IfNotPresent", auto_remove=True, mem_limit="1g")
    _in_container(variables)


def _kubernetes(job: dict[str, Any], variables: dict[str, Any]) -> None:
    """No second pod: a run that was cut off is tidied up, not begun again behind Prefect's back."""
    _default(variables, image=IMAGE, namespace="slipway", service_account_name="slipway", finished_job_ttl=KEPT_S)
    _default(variables, cpu_request="500m", memory_request="1Gi", memory_limit="1Gi")
    _in_container(variables)
    said = job["job_manifest"]["spec"]
    said["activeDeadlineSeconds"] = LONGEST_RUN_S
    said["template"]["metadata"] = {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}}
    pod = said["template"]["spec"]
    pod |= {
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER},
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}}],
    }
    pod["containers"][0] |= {
        "envFrom": [{"secretRef": {"name": AUTH_SECRET, "optional": True}}],
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}],
    }


def _cloud_run(_: dict[str, Any], variables: dict[str, Any]) -> None:
    _default(variables, image=IMAGE, service_account_name=ACCOUNT, region="REGION", launch_stage="GA")
    _default(variables, memory="1Gi", timeout=LONGEST_RUN_S, max_retries=0)
    _in_container(variables)
    _default(variables, prefect_api_auth_string_secret={"secret": AUTH_SECRET, "version": "latest"})


def _in_container(variables: dict[str, Any]) -> None:
    """Null keeps a variable from being handed on: each worker knows that, but not each schema that is published."""
    _default(variables, env=OWN_ENV)
    variables["env"]["additionalProperties"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}


def _default(variables: dict[str, Any], **values: object) -> None:
    for name, value in values.items():
        variables[name]["default"] = value  # KeyError: Prefect's template has no such variable any more


Change = Callable[[dict[str, Any], dict[str, Any]], None]
KINDS: Mapping[str, tuple[Callable[[], dict[str, Any]], Change]] = {
    "process": (published_by("prefect", "process"), _process),
    "docker": (published_by("prefect-docker", "docker"), _docker),
    "kubernetes": (published_by("prefect-kubernetes", "kubernetes"), _kubernetes),
    "cloud-run-v2": (CloudRunWorkerV2.get_default_base_job_template, _cloud_run),
}


def file_of(kind: str) -> Path:
    return FOLDER / f"{kind}.json"


def main() -> None:
    for kind in KINDS:
        file_of(kind).write_text(json.dumps(template(kind), indent=2) + "\n")


if __name__ == "__main__":
    main()

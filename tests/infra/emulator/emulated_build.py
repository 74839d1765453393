"""What the tests of Cloud Build share: emulators of their own, and builds over REST, judged by Google's documents."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import ssl
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked

REGION = "europe-west1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
HOST = f"{REGION}-docker.pkg.dev"
ONGOING = ("PENDING", "QUEUED", "WORKING")
_numbers = itertools.count(1)

Json = dict[str, Any]


@contextmanager
def emulator(data: Path, **settings: str) -> Iterator[tuple[LocalCloud, subprocess.Popen[str]]]:
    """A local cloud of the test's own on `data`, with environment variables of its own."""
    command = [sys.executable, "-m", "infra.emulator", "run", "--data", str(data), "--profile", "instant"]
    process = subprocess.Popen(
        [*command, "--project", PROJECT], stdout=subprocess.PIPE, text=True, env={**os.environ, **settings}
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), "the emulator did not start"
        word = json.loads((data / "emulator.json").read_text())
        yield LocalCloud({**os.environ, **word["environment"]}, word["admin"], data), process
    finally:
        process.terminate()
        process.stdout.close()
        process.wait(timeout=30)


def shell(script: str, **fields: Any) -> Json:
    """A step that runs a script."""
    return {"name": "ubuntu", "script": script, **fields}


def docker(*arguments: str, **fields: Any) -> Json:
    return {"name": "gcr.io/cloud-builders/docker", "args": list(arguments), **fields}


def group_lives(pid: str) -> bool:
    """Whether a process of the step's group is left, zombies aside."""
    group = subprocess.run(["ps", "-eo", "sid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in group.splitlines()]
    return any(row[0] == pid.strip() and not row[1].startswith("Z") for row in rows)


@dataclass
class Builds:
    """Cloud Build, and of the other services what a build needs, as the owner of the project uses them.

    A context manager: it keeps connections.
    """

    cloud: LocalCloud
    parent: str = PARENT

    def __post_init__(self) -> None:
        environment = self.cloud.env
        self.http = Checked(
            headers={"Authorization": f"Bearer {(self.cloud.data / 'gcloud-token').read_text()}"},
            proxy=environment["https_proxy"],
            verify=ssl.create_default_context(cafile=environment["SSL_CERT_FILE"]),
            trust_env=False,
            timeout=30,
        )

    def __enter__(self) -> Builds:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def url(self, path: str) -> str:
        return f"https://cloudbuild.googleapis.com/v1/{path}"

    def bucket(self) -> str:
        name = f"source-{next(_numbers)}-{os.getpid()}"
        url = f"https://storage.googleapis.com/storage/v1/b?project={PROJECT}"
        self.http.post(url, json={"name": name}).raise_for_status()
        return name

    def source(self, files: Mapping[str, str]) -> Json:
        """Uploads files as a source archive; answers the request's `source`."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, text in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        bucket = self.bucket()
        self.upload(bucket, "source.tgz", out.getvalue())
        return {"storageSource": {"bucket": bucket, "object": "source.tgz"}}

    def upload(self, bucket: str, name: str, data: bytes) -> None:
        url = f"https://storage.googleapis.com/upload/storage/v1/b/{bucket}/o"
        self.http.post(url, params={"uploadType": "media", "name": name}, content=data).raise_for_status()

    def repository(self, *, immutable: bool = False) -> str:
        """A new repository; answers what image names in it start with."""
        name = f"builds-{next(_numbers)}"
        url = f"https://artifactregistry.googleapis.com/v1/{PARENT}/repositories"
        body = {"format": "DOCKER", "dockerConfig": {"immutableTags": immutable}}
        self.http.post(url, params={"repositoryId": name}, json=body).raise_for_status()
        return f"{HOST}/{PROJECT}/{name}"

    def secret(self, value: str) -> str:
        """A new secret that builds may read; answers its full name."""
        secrets = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
        name = f"builds-{next(_numbers)}"
        body: Json = {"replication": {"automatic": {}}}
        self.http.post(secrets, params={"secretId": name}, json=body).raise_for_status()
        payload = {"payload": {"data": base64.b64encode(value.encode()).decode()}}
        self.http.post(f"{secrets}/{name}:addVersion", json=payload).raise_for_status()
        account = self.get(f"{self.parent}/defaultServiceAccount")["serviceAccountEmail"].rpartition("/")[2]
        binding = {"role": "roles/secretmanager.secretAccessor", "members": [f"serviceAccount:{account}"]}
        policy = {"policy": {"bindings": [binding]}}
        self.http.post(f"{secrets}/{name}:setIamPolicy", json=policy).raise_for_status()
        return f"projects/{PROJECT}/secrets/{name}"

    def create(self, *steps: Json, **fields: Any) -> Json:
        """Starts a build; answers its operation."""
        answer = self.http.post(self.url(f"{self.parent}/builds"), json={"steps": list(steps), **fields})
        answer.raise_for_status()
        return dict(answer.json())

    def refused(self, *steps: Json, **fields: Any) -> Json:
        """The error that a build request meets."""
        answer = self.http.post(self.url(f"{self.parent}/builds"), json={"steps": list(steps), **fields})
        assert answer.is_error, answer.text
        return dict(answer.json()["error"])

    def get(self, name: str) -> Json:
        return dict(self.http.get(self.url(name)).raise_for_status().json())

    def until(self, name: str, *statuses: str, timeout_s: float = 60) -> Json:
        """The build as soon as it has one of the statuses."""
        end = time.monotonic() + timeout_s
        while (build := self.get(name))["status"] not in statuses:
            assert time.monotonic() < end, f"still {build['status']}\n{self.log(build)}"
            time.sleep(0.02)
        return build

    def run(self, *steps: Json, **fields: Any) -> Json:
        """A build, when it is over."""
        name = self.create(*steps, **fields)["metadata"]["build"]["name"]
        return self.finished(name)

    def finished(self, name: str, timeout_s: float = 60) -> Json:
        ends = ("SUCCESS", "FAILURE", "TIMEOUT", "CANCELLED", "INTERNAL_ERROR", "EXPIRED")
        return self.until(name, *ends, timeout_s=timeout_s)

    def log(self, build: Json) -> str:
        """What has been written to the log object so far."""
        bucket = build["logsBucket"].removeprefix("gs://")
        answer = self.http.get(f"https://storage.googleapis.com/{bucket}/log-{build['id']}.txt")
        return "" if answer.status_code == 404 else answer.raise_for_status().text

    def manifest(self, image: str) -> Json:
        """The manifest that the registry has for an image."""
        host, _, rest = image.partition("/")
        name, _, tag = rest.partition("@") if "@" in rest else rest.rpartition(":")
        answer = self.http.get(f"https://{host}/v2/{name}/manifests/{tag}")
        return dict(json.loads(answer.raise_for_status().content))

    def config(self, image: str) -> Json:
        """The configuration of an image in the registry."""
        host, _, rest = image.partition("/")
        digest = self.manifest(image)["config"]["digest"]
        answer = self.http.get(f"https://{host}/v2/{rest.rpartition(':')[0]}/blobs/{digest}", follow_redirects=True)
        return dict(json.loads(answer.raise_for_status().content))

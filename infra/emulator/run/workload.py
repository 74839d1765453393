"""What an instance runs: one container of a revision or a task with everything resolved, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.rpc.code_pb2 import Code

from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.references import parse_reference
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.projects.projects import Projects
from infra.emulator.run.conditions import Unready, image_denied, image_missing, secret_denied, secret_missing
from infra.emulator.run.defaults import ingress_container, port_of
from infra.emulator.run.names import PoolName, owner_of, short
from infra.emulator.run.state import State
from infra.emulator.secrets.state import Secrets

# What leads Google's client libraries to this emulator; nothing else of its own environment reaches an instance.
PASSED_ON = (
    "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE", "CURL_CA_BUNDLE", "HTTPLIB2_CA_CERTS",
)  # fmt: skip
PULL = "artifactregistry.repositories.downloadArtifacts"
AGENT = "service-{}@serverless-robot-prod.iam.gserviceaccount.com"  # Cloud Run's own account in a project
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True, slots=True)
class Workload:
    owner: str  # full name of the revision or the task
    image: str  # by digest
    config: Mapping[str, Any]  # the image's OCI configuration, its `config` part
    command: tuple[str, ...]  # the whole command line, as the image or the revision has it
    env: Mapping[str, str]
    working_dir: str
    port: int  # what the container should listen on, as the API shows it; 0 for what takes no requests
    memory_bytes: int
    account: str = ""  # what it runs as


class Unreadable(Exception):
    """A secret's version is not there, or may not be read."""

    def __init__(self, version: str, *, denied: bool) -> None:
        super().__init__(version)
        self.version, self.denied = version, denied  # version: its full name, as messages show it


class Denied(Exception):
    """Cloud Run itself may not read an image; `str()` is what it says of that."""


class Surroundings:
    """What containers need of the rest of the cloud, whosever they are."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self.images = cloud, cloud.get(Images)
        self._projects, self._policies, self._secrets = cloud.get(Projects), cloud.get(Policies), cloud.get(Secrets)

    def pull(self, project: str, reference: str) -> str:
        """By digest, for what runs in the project. Raises RpcError where there is no such image, or Denied.

        https://cloud.google.com/run/docs/deploying#other-projects
        """
        found = str(self.images.resolve(reference).uri)
        repository = parse_reference(found).repository
        home = repository.split("/")[1]
        if home != project and self._projects.exists(home):  # Google's own images, and others', are public
            agent = AGENT.format(self._projects.find(project).number)
            if not self._policies.allowed(agent, PULL, repository):
                raise Denied(
                    f"Google Cloud Run Service Agent {agent} must have permission to read the image, {reference}. "
                    "Ensure that the provided container image URL is correct and that the above account has "
                    "permission to access the image. If you just enabled the Cloud Run API, the permissions might take "
                    f"a few minutes to propagate. Note that the image is from project [{home}], which is not the same "
                    f"as this project [{project}]. Permission must be granted to the Google Cloud Run Service Agent "
                    "from this project. See https://cloud.google.com/run/docs/deploying#other-projects"
                )
        return found

    def workload(
        self, owner: str, container: Any, image: str, env: Mapping[str, str], port: int, account: str
    ) -> Workload:
        """`image`: by digest; `env`: what the container has of its own."""
        config = self.images.config(image).get("config") or {}
        ours = self._cloud.environment  # known only once the server listens
        return Workload(
            owner=owner,
            image=image,
            config=config,
            command=command_of(container, config),
            env={**_image_env(config), **{name: ours[name] for name in PASSED_ON if name in ours}, **env},
            working_dir=container.working_dir or str(config.get("WorkingDir") or "/"),
            port=port,
            memory_bytes=quantity(container.resources.limits["memory"]),
            account=account,
        )

    def secret(self, project: str, reference: Any, account: str) -> str:
        """The value that a container of the project gets as that account. Raises Unreadable."""
        path, version = reference.secret, reference.version or "latest"
        home = self._projects.find(path.split("/")[1] if path.startswith("projects/") else project)
        name = short(path)
        shown = f"projects/{home.number}/secrets/{name}/versions/{version}"
        resource = f"projects/{home.id}/secrets/{name}"
        if not self._policies.allowed(account, "secretmanager.versions.access", resource):
            raise Unreadable(shown, denied=True)
        try:
            return self._secrets.access(home.id, name, version).decode()
        except RpcError as error:
            if error.status.code not in (Code.NOT_FOUND, Code.FAILED_PRECONDITION):
                raise
            raise Unreadable(shown, denied=False) from error


def takes_requests(revision: Any) -> bool:
    """A service's does, a worker pool's does not."""
    return owner_of(revision.name).kind != PoolName.kind


class Resolver:
    """Turns a stored revision into its workload."""

    def __init__(self, around: Surroundings, state: State) -> None:
        self._around, self._state = around, state

    def resolve(self, revision: Any) -> Workload:
        """Raises Unready when the image or a secret is not there."""
        requests = takes_requests(revision)
        container = ingress_container(revision.containers) if requests else revision.containers[0]
        image = self._image(revision.name, container.image)
        env = self._own_env(revision, container)
        port = port_of(container) if requests else 0
        return self._around.workload(revision.name, container, image, env, port, revision.service_account)

    def _image(self, revision: str, image: str) -> str:
        """The image's digest is found once, when the revision first starts, and stays: tags may move."""
        pinned = self._state.image(revision)
        try:
            if pinned:  # Cloud Run has a copy of its own: https://cloud.google.com/run/docs/deploying#images
                return str(self._around.images.resolve(pinned).uri)
            found = self._around.pull(owner_of(revision).project, image)
        except Denied as denied:
            raise Unready(image_denied(str(denied), short(revision))) from denied
        except RpcError as error:
            raise image_missing(revision, image) from error
        self._state.pin_image(revision, found)
        return found

    def _own_env(self, revision: Any, container: Any) -> dict[str, str]:
        name = owner_of(revision.name)
        env = {"K_SERVICE": name.id, "K_CONFIGURATION": name.id, "K_REVISION": short(revision.name)}
        if not takes_requests(revision):  # https://cloud.google.com/run/docs/container-contract#worker-pools-env-vars
            env = {"CLOUD_RUN_WORKER_POOL": name.id, "CLOUD_RUN_REVISION": short(revision.name)}
        for index, variable in enumerate(container.env):
            if variable.HasField("value_source"):
                position = list(revision.containers).index(container)
                field = f"spec.template.spec.containers[{position}].env[{index}].value_from.secret_key_ref.name"
                env[variable.name] = self._secret(revision, field, variable.value_source.secret_key_ref)
            else:
                env[variable.name] = variable.value
        return env

    def _secret(self, revision: Any, field: str, reference: Any) -> str:
        account = revision.service_account
        try:
            return self._around.secret(owner_of(revision.name).project, reference, account)
        except Unreadable as error:
            if error.denied:
                raise secret_denied(revision.name, field, error.version, account) from error
            raise secret_missing(revision.name, field, error.version) from error


def command_of(container: Any, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The command line: as in Kubernetes, a command of one's own drops the image's arguments too."""
    entrypoint = list(container.command) or list(config.get("Entrypoint") or [])
    arguments = list(container.args) or ([] if container.command else list(config.get("Cmd") or []))
    return (*entrypoint, *arguments)


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity such as 512Mi; the kubernetes package is too large to take for this alone."""
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    return int(float(text))


def _image_env(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in config.get("Env") or [] if "=" in entry)

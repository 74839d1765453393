"""What an instance runs: one container of a revision with everything resolved, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.rpc.code_pb2 import Code

from infra.emulator.artifacts.images import Images
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.projects.projects import Projects
from infra.emulator.run.conditions import image_missing, secret_denied, secret_missing
from infra.emulator.run.defaults import ingress_container, port_of
from infra.emulator.run.names import ServiceName, short
from infra.emulator.run.state import State
from infra.emulator.secrets.state import Secrets

# What leads Google's client libraries to this emulator; nothing else of its own environment reaches an instance.
PASSED_ON = (
    "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)  # fmt: skip
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True, slots=True)
class Workload:
    revision: str  # full name
    image: str  # by digest
    config: Mapping[str, Any]  # the image's OCI configuration, its `config` part
    command: tuple[str, ...]  # the whole command line, as the image or the revision has it
    env: Mapping[str, str]
    working_dir: str
    port: int  # what the container should listen on, as the API shows it
    memory_bytes: int


class Resolver:
    """Turns a stored revision into its workload."""

    def __init__(self, cloud: Cloud, state: State) -> None:
        self._cloud, self._state = cloud, state
        self._images, self._projects = cloud.get(Images), cloud.get(Projects)
        self._policies, self._secrets = cloud.get(Policies), cloud.get(Secrets)

    def resolve(self, revision: Any) -> Workload:
        """Raises Unready when the image or a secret is not there."""
        container = ingress_container(revision.containers)
        image = self._image(revision.name, container.image)
        config = self._images.config(image).get("config") or {}
        return Workload(
            revision=revision.name,
            image=image,
            config=config,
            command=command_of(container, config),
            env={**_image_env(config), **self._leading_env(), **self._own_env(revision, container)},
            working_dir=container.working_dir or str(config.get("WorkingDir") or "/"),
            port=port_of(container),
            memory_bytes=quantity(container.resources.limits["memory"]),
        )

    def _image(self, revision: str, image: str) -> str:
        """The image's digest is found once, when the revision first starts, and stays: tags may move."""
        pinned = self._state.image(revision)
        try:
            found = self._images.resolve(pinned or image).uri
        except RpcError as error:
            raise image_missing(revision, image) from error
        if not pinned:
            self._state.pin_image(revision, found)
        return found

    def _leading_env(self) -> dict[str, str]:
        ours = self._cloud.environment  # known only once the server listens
        return {name: ours[name] for name in PASSED_ON if name in ours}

    def _own_env(self, revision: Any, container: Any) -> dict[str, str]:
        name = ServiceName.parse(revision.name)
        env = {"K_SERVICE": name.id, "K_CONFIGURATION": name.id, "K_REVISION": short(revision.name)}
        for index, variable in enumerate(container.env):
            if variable.HasField("value_source"):
                position = list(revision.containers).index(container)
                field = f"spec.template.spec.containers[{position}].env[{index}].value_from.secret_key_ref.name"
                env[variable.name] = self._secret(revision, field, variable.value_source.secret_key_ref)
            else:
                env[variable.name] = variable.value
        return env

    def _secret(self, revision: Any, field: str, reference: Any) -> str:
        path, version = reference.secret, reference.version or "latest"
        project = path.split("/")[1] if path.startswith("projects/") else ServiceName.parse(revision.name).project
        home, name, account = self._projects.find(project), short(path), revision.service_account
        shown = f"projects/{home.number}/secrets/{name}/versions/{version}"
        resource = f"projects/{home.id}/secrets/{name}"
        if not self._policies.allowed(account, "secretmanager.versions.access", resource):
            raise secret_denied(revision.name, field, shown, account)
        try:
            return self._secrets.access(home.id, name, version).decode()
        except RpcError as error:
            if error.status.code not in (Code.NOT_FOUND, Code.FAILED_PRECONDITION):
                raise
            raise secret_missing(revision.name, field, shown) from error


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

"""The environment of a step: its variables, its secrets, and the way to the emulated Google APIs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.projects.projects import Projects
from infra.emulator.secrets.state import Secrets

SECRET_VERSION = re.compile(r"projects/([^/]+)/secrets/([^/]+)/versions/([^/]+)")


class SecretRefused(Exception):
    """`str()` is the text of the build's failure."""


class Environment:
    def __init__(self, cloud: Cloud, build: BuildPb, account: str, built_in: Mapping[str, str], home: Path) -> None:
        self._cloud, self._build, self._account = cloud, build, account
        self._projects, self._policies = cloud.get(Projects), cloud.get(Policies)
        self._secrets, self._identity = cloud.get(Secrets), cloud.get(Identity)
        self._built_in, self._home = built_in, home
        self._added: dict[str, str] = {}
        self._versions = {secret.env: secret.version_name for secret in build.available_secrets.secret_manager}

    def add(self, variables: Mapping[str, str]) -> None:
        """For every step from now on."""
        self._added.update(variables)

    def of(self, step: Any) -> dict[str, str]:
        """All variables of a step; raises SecretRefused."""
        mapped: dict[str, str] = {}
        if step.automap_substitutions or self._build.options.automap_substitutions:
            mapped = {**self._built_in, **self._build.substitutions}
        given = dict(entry.partition("=")[::2] for entry in [*self._build.options.env, *step.env])
        secrets = {name: self._secret(name) for name in [*self._build.options.secret_env, *step.secret_env]}
        return {**self._google(), **self._added, **mapped, **given, **secrets}

    def _secret(self, name: str) -> str:
        match = SECRET_VERSION.fullmatch(self._versions[name])
        if match is None:
            raise SecretRefused(f"failed to access secret version: invalid name {self._versions[name]}")
        project, secret, version = match.groups()
        shown = f"projects/{project}/secrets/{secret}/versions/{version}"
        try:
            project_id = self._projects.find(project).id
            resource = f"projects/{project_id}/secrets/{secret}"
            if not self._policies.allowed(self._account, "secretmanager.versions.access", resource):
                raise SecretRefused(
                    f"failed to access secret version for secret {shown}: rpc error: code = PermissionDenied desc = "
                    f"Permission 'secretmanager.versions.access' denied for resource '{shown}' (or it may not exist)."
                )
            return self._secrets.access(project_id, secret, version).decode()
        except RpcError as error:
            raise SecretRefused(
                f"failed to access secret version for secret {shown}: rpc error: {error.status.message}"
            ) from error

    def _google(self) -> dict[str, str]:
        """What leads gcloud and the client libraries in a step to this emulator, as the build's account."""
        self._home.mkdir(parents=True, exist_ok=True)
        token = self._home / ".access-token"
        token.touch(mode=0o600)
        token.write_text(self._identity.access_token(self._account))
        own = {
            "CLOUDSDK_CORE_PROJECT": self._build.project_id,
            "CLOUDSDK_CORE_ACCOUNT": self._account,
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
            "CLOUDSDK_CONFIG": str(self._home / ".config" / "gcloud"),
            "GOOGLE_CLOUD_PROJECT": self._build.project_id,
        }
        others = {k: v for k, v in client_environment(self._cloud).items() if k != "GOOGLE_APPLICATION_CREDENTIALS"}
        return {**others, **own}


def client_environment(cloud: Cloud) -> dict[str, str]:
    """The variables that lead clients to this emulator, as it announces them itself."""
    return dict(json.loads((cloud.data / "emulator.json").read_text())["environment"])

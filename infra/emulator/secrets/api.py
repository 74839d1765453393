"""Secret Manager v1. https://cloud.google.com/secret-manager/docs/reference/rest"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from google.cloud.secretmanager_v1 import types
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import empty_pb2

from infra.emulator.iam.policies import Policies
from infra.emulator.kernel import filters
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, invalid
from infra.emulator.kernel.filters import Comparison, Restriction
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.secrets.state import Secrets, State, check_etag, checksum, number_of

API = "google.cloud.secretmanager.v1.SecretManagerService"
MAX_PAYLOAD_BYTES = 64 << 10  # https://cloud.google.com/secret-manager/quotas
ListPb: Any = types.ListSecretsResponse.pb()
ListVersionsPb: Any = types.ListSecretVersionsResponse.pb()
AccessPb: Any = types.AccessSecretVersionResponse.pb()


class SecretManager:
    def __init__(self, cloud: Cloud) -> None:
        self._secrets, self._policies = cloud.get(Secrets), cloud.get(Policies)

    def _show(self, message: Any) -> Any:
        message.name = self._secrets.shown(message.name)
        return message

    @rpc(f"{API}/CreateSecret", permission="secretmanager.secrets.create", resource="parent")
    async def create(self, request: Any, _: Call) -> Any:
        if not re.fullmatch(r"[\w-]{1,255}", request.secret_id):
            raise invalid("The resource id is invalid: use letters, digits, - and _.", "secret_id")
        if not request.secret.replication.WhichOneof("replication") and "/locations/" not in request.parent:
            raise invalid("The [replication] field must be set.", "secret.replication")
        return self._show(self._secrets.create(f"{request.parent}/secrets/{request.secret_id}", request.secret))

    @rpc(f"{API}/ListSecrets", permission="secretmanager.secrets.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        prefix = f"{request.parent}/secrets/"
        keep = filters.predicate(request.filter, _of_secret, _refused)
        secrets = [secret for secret in self._secrets.table.list(prefix) if keep(secret)]
        left = [secret for secret in secrets if secret.name > request.page_token]
        size = request.page_size or 25
        token = left[size - 1].name if len(left) > size else ""
        shown = [self._show(secret) for secret in left[:size]]
        return ListPb(secrets=shown, next_page_token=token, total_size=len(secrets))

    @rpc(f"{API}/GetSecret", permission="secretmanager.secrets.get")
    async def get(self, request: Any, _: Call) -> Any:
        return self._show(self._secrets.find(request.name))

    @rpc(f"{API}/UpdateSecret", permission="secretmanager.secrets.update", resource="secret.name")
    async def update(self, request: Any, _: Call) -> Any:
        secret = self._secrets.find(request.secret.name)
        check_etag(secret.etag, request.secret.etag)
        if not request.update_mask.paths:
            raise invalid("The update_mask must be set.", "update_mask")
        request.update_mask.MergeMessage(request.secret, secret, True, True)
        self._secrets.put(secret)
        return self._show(secret)

    @rpc(f"{API}/DeleteSecret", permission="secretmanager.secrets.delete")
    async def delete(self, request: Any, _: Call) -> empty_pb2.Empty:
        check_etag(self._secrets.find(request.name).etag, request.etag)
        self._secrets.delete(request.name)
        self._policies.delete(request.name)
        return empty_pb2.Empty()

    @rpc(f"{API}/GetIamPolicy", permission="secretmanager.secrets.getIamPolicy", resource="resource")
    async def get_policy(self, request: iam_policy_pb2.GetIamPolicyRequest, _: Call) -> policy_pb2.Policy:
        return self._policies.get(self._secrets.find(request.resource).name)

    @rpc(f"{API}/SetIamPolicy", permission="secretmanager.secrets.setIamPolicy", resource="resource")
    async def set_policy(self, request: iam_policy_pb2.SetIamPolicyRequest, _: Call) -> policy_pb2.Policy:
        return self._policies.set(self._secrets.find(request.resource).name, request.policy)

    @rpc(f"{API}/TestIamPermissions", resource="resource")
    async def test(
        self, request: iam_policy_pb2.TestIamPermissionsRequest, call: Call
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        return self._policies.test(call.principal, request.permissions, request.resource)


class SecretVersions:
    def __init__(self, cloud: Cloud) -> None:
        self._secrets = cloud.get(Secrets)

    def _show(self, message: Any) -> Any:
        message.name = self._secrets.shown(message.name)
        return message

    @rpc(f"{API}/AddSecretVersion", permission="secretmanager.versions.add", resource="parent")
    async def add(self, request: Any, _: Call) -> Any:
        payload = request.payload
        if len(payload.data) > MAX_PAYLOAD_BYTES:
            raise invalid(f"The secret payload must not be larger than {MAX_PAYLOAD_BYTES} bytes.", "payload.data")
        if payload.HasField("data_crc32c") and payload.data_crc32c != checksum(payload.data):
            raise invalid("The provided checksum does not match the payload.", "payload.data_crc32c")
        return self._show(self._secrets.add_version(request.parent, payload.data, payload.HasField("data_crc32c")))

    @rpc(f"{API}/AccessSecretVersion", permission="secretmanager.versions.access")
    async def access(self, request: Any, _: Call) -> Any:
        version = self._secrets.find_version(request.name)
        data = self._secrets.payload(version)
        response = AccessPb(name=self._secrets.shown(version.name))
        response.payload.data, response.payload.data_crc32c = data, checksum(data)
        return response

    @rpc(f"{API}/GetSecretVersion", permission="secretmanager.versions.get")
    async def get(self, request: Any, _: Call) -> Any:
        return self._show(self._secrets.find_version(request.name))

    @rpc(f"{API}/ListSecretVersions", permission="secretmanager.versions.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        """Newest first, as Google lists them."""
        self._secrets.find(request.parent)
        versions = sorted(self._secrets.list_versions(request.parent), key=lambda v: -number_of(v.name))
        keep = filters.predicate(request.filter, _of_version, _refused)
        versions = [version for version in versions if keep(version)]
        left = [v for v in versions if not request.page_token or number_of(v.name) < int(request.page_token)]
        size = request.page_size or 25
        token = str(number_of(left[size - 1].name)) if len(left) > size else ""
        shown = [self._show(version) for version in left[:size]]
        return ListVersionsPb(versions=shown, next_page_token=token, total_size=len(versions))

    @rpc(f"{API}/EnableSecretVersion", permission="secretmanager.versions.enable")
    async def enable(self, request: Any, _: Call) -> Any:
        return self._show(self._secrets.set_state(request.name, State.ENABLED, request.etag))

    @rpc(f"{API}/DisableSecretVersion", permission="secretmanager.versions.disable")
    async def disable(self, request: Any, _: Call) -> Any:
        return self._show(self._secrets.set_state(request.name, State.DISABLED, request.etag))

    @rpc(f"{API}/DestroySecretVersion", permission="secretmanager.versions.destroy")
    async def destroy(self, request: Any, _: Call) -> Any:
        return self._show(self._secrets.set_state(request.name, State.DESTROYED, request.etag))


def _refused(reason: str) -> RpcError:
    return invalid(f"Invalid filter: {reason}", "filter")


def _of_secret(restriction: Restriction) -> Callable[[Any], bool]:
    """The part of https://cloud.google.com/secret-manager/docs/filtering that asks for names and labels."""
    match restriction:
        case Comparison(("labels", key), ":" | "=", str(value)):
            return lambda secret: secret.labels.get(key) == value
        case Comparison(("name",), ":", str(value)):
            return lambda secret: value in secret.name
    raise _refused(f"{restriction} is not known")


def _of_version(restriction: Restriction) -> Callable[[Any], bool]:
    match restriction:
        case Comparison(("state",), ":" | "=", str(value)):
            return lambda version: bool(State(version.state).name == value.upper())
    raise _refused(f"{restriction} is not known")

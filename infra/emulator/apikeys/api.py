"""API Keys v2. https://cloud.google.com/api-keys/docs/reference/rest

Recorded traffic of a real project shapes what the reference does not say: names carry the project's number, operations
tell nothing but their name until they end, and the answer to a create or delete carries the key string.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from google.cloud import api_keys_v2
from google.longrunning import operations_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from infra.emulator.apikeys.restrictions import check
from infra.emulator.apikeys.state import ApiKeys
from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import (
    aborted,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
    permission_denied,
)
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.managed import ManagedServices
from infra.emulator.projects.projects import Projects

API = "google.api.apikeys.v2.ApiKeys"
HOST = "apikeys.googleapis.com"
# https://cloud.google.com/api-keys/docs/reference/rest/v2/projects.locations.keys/create#query-parameters
KEY_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
MAX_TITLE = 63
LOOKUP = "apikeys.keys.lookup"
UPDATABLE = ("display_name", "restrictions", "annotations")
MAX_PAGE = 300
KeyPb: Any = api_keys_v2.Key.pb()
ListPb: Any = api_keys_v2.ListKeysResponse.pb()
StringPb: Any = api_keys_v2.GetKeyStringResponse.pb()
LookupPb: Any = api_keys_v2.LookupKeyResponse.pb()


class ApiKeysV2:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._keys, self._projects = cloud, cloud.get(ApiKeys), cloud.get(Projects)
        self._managed, self._admission = cloud.get(ManagedServices), cloud.get(Admission)

    @rpc(f"{API}/CreateKey", permission="apikeys.keys.create", resource="parent")
    async def create(self, request: Any, _: Call) -> operations_pb2.Operation:
        _check_parent(request.parent)
        if request.key_id and not KEY_ID.fullmatch(request.key_id):
            raise invalid(f"The key id must match the regular expression {KEY_ID.pattern}.", "key_id")
        name = f"{request.parent}/keys/{request.key_id or uuid.uuid4()}"
        self._check(request.key)
        self._refuse_taken(name)
        made = KeyPb()
        FieldMask(paths=UPDATABLE).MergeMessage(request.key, made)

        def work() -> Message:
            self._refuse_taken(name)  # by another create that was at work at the same time
            shown: Message = self._shown(self._keys.make(name, made), with_string=True)
            return shown

        return self._start(name, work)

    def _refuse_taken(self, name: str) -> None:
        if self._keys.get(name) is not None:  # a deleted one keeps its id until it is purged
            raise already_exists(f"The key {self._shown_name(name)} already exists.")

    @rpc(f"{API}/GetKey", permission="apikeys.keys.get")
    async def get(self, request: Any, _: Call) -> Any:
        """Also a deleted one: its delete_time tells."""
        return self._shown(self._find(request.name))

    @rpc(f"{API}/GetKeyString", permission="apikeys.keys.getKeyString")
    async def get_string(self, request: Any, _: Call) -> Any:
        return StringPb(key_string=self._find(request.name).key_string)

    @rpc(f"{API}/ListKeys", permission="apikeys.keys.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        _check_parent(request.parent)
        if request.page_size < 0:
            raise invalid("page_size must not be negative.", "page_size")
        keys = [k for k in self._keys.of(request.parent) if request.show_deleted or not k.HasField("delete_time")]
        left = [key for key in keys if key.name > request.page_token]
        size = min(request.page_size or MAX_PAGE, MAX_PAGE)
        token = left[size - 1].name if len(left) > size else ""
        return ListPb(keys=[self._shown(key) for key in left[:size]], next_page_token=token)

    @rpc(f"{API}/UpdateKey", permission="apikeys.keys.update", resource="key.name")
    async def update(self, request: Any, _: Call) -> operations_pb2.Operation:
        """Without a mask all that is set of what can change (https://google.aip.dev/134)."""
        given, mask = request.key, list(request.update_mask.paths)
        if unknown := [path for path in mask if path != "*" and path.split(".")[0] not in UPDATABLE]:
            raise invalid(f"The field {unknown[0]} cannot be updated.", "update_mask")
        paths = UPDATABLE if "*" in mask else mask or [field.name for field, _ in given.ListFields()]
        paths = [path for path in paths if path.split(".")[0] in UPDATABLE]

        def change(key: Any) -> None:
            FieldMask(paths=paths).MergeMessage(given, key, True, True)

        wanted = self._living(given.name, given.etag)
        change(wanted)
        self._check(wanted)
        return self._change(given.name, change)

    @rpc(f"{API}/DeleteKey", permission="apikeys.keys.delete")
    async def delete(self, request: Any, _: Call) -> operations_pb2.Operation:
        self._living(request.name, request.etag)
        return self._change(request.name, lambda key: key.delete_time.GetCurrentTime(), with_string=True)

    @rpc(f"{API}/UndeleteKey", permission="apikeys.keys.undelete")
    async def undelete(self, request: Any, _: Call) -> operations_pb2.Operation:
        if not self._find(request.name).HasField("delete_time"):
            raise failed_precondition(f"The key {self._shown_name(request.name)} is not deleted.")
        return self._change(request.name, lambda key: key.ClearField("delete_time"))

    @rpc(f"{API}/LookupKey", resource="")
    async def lookup(self, request: Any, call: Call) -> Any:
        """The permission is asked for on the project that has the key, whichever that is."""
        project, key = self._keys.holder(request.key_string)
        if not project:
            raise permission_denied(LOOKUP, "projects/-", HOST)
        self._admission.require(call.principal, LOOKUP, f"projects/{project}", HOST)
        parent = f"projects/{self._projects.find(project).number}"
        return LookupPb(parent=parent, name=self._shown_name(key.name) if key is not None else "")

    def _start(self, name: str, work: Callable[[], Message]) -> operations_pb2.Operation:
        """Answers nothing but the operation's name, which is below no project."""

        async def later() -> Message:
            await self._cloud.behaviour.pause("apikeys.key")
            return work()

        operations, number = self._cloud.operations, self._projects.find(name).number
        return operations.start(f"operations/akmf.p7-{number}-{operations.new_id()}", None, later())

    def _change(
        self, name: str, change: Callable[[Any], object], *, with_string: bool = False
    ) -> operations_pb2.Operation:
        def work() -> Message:
            key = self._find(name)
            change(key)
            shown: Message = self._shown(self._keys.put(key), with_string=with_string)
            return shown

        return self._start(name, work)

    def _check(self, key: Any) -> None:
        if len(key.display_name) > MAX_TITLE:
            raise invalid(f"The display name must not be longer than {MAX_TITLE} characters.", "key.display_name")
        check(key, self._managed)

    def _find(self, name: str) -> Any:
        _check_parent(name.partition("/keys/")[0])
        key = self._keys.get(name)
        if key is None:
            raise not_found(f'key "{self._shown_name(name)}" not found')
        return key

    def _living(self, name: str, etag: str) -> Any:
        key = self._find(name)
        if key.HasField("delete_time"):
            raise failed_precondition(f"The key {self._shown_name(name)} is deleted. Undelete it first.")
        if etag and etag != key.etag:
            raise aborted("The etag provided in the request does not match the resource's current etag.")
        return key

    def _shown(self, key: Any, *, with_string: bool = False) -> Any:
        shown = KeyPb()
        shown.CopyFrom(key)
        shown.name = self._shown_name(key.name)
        if not with_string:
            shown.ClearField("key_string")
        return shown

    def _shown_name(self, name: str) -> str:
        project = self._projects.find(name)
        return f"projects/{project.number}/{name.split('/', 2)[2]}"


def _check_parent(parent: str) -> None:
    """Keys are global: https://cloud.google.com/api-keys/docs/reference/rest/v2/projects.locations.keys"""
    location = parent.rpartition("/")[2]
    if location != "global":
        raise invalid(f"The location '{location}' is not supported: API keys are global.", "parent")

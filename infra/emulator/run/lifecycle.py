"""What happens to a service: created, changed, deleted; the same for API v2 and for the Knative v1 doors."""

from __future__ import annotations

import uuid
from collections.abc import Coroutine
from functools import partial
from typing import Any

from google.rpc.code_pb2 import Code

from infra.emulator.iam.accounts import Accounts
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, aborted, already_exists, error_info, failed_precondition
from infra.emulator.projects.projects import Projects
from infra.emulator.run import revisions
from infra.emulator.run.conditions import State
from infra.emulator.run.defaults import fill_in
from infra.emulator.run.names import ServiceName, etag, short
from infra.emulator.run.reconcile import Reconciler
from infra.emulator.run.state import RevisionPb, ServicePb
from infra.emulator.run.state import State as RunState
from infra.emulator.run.traffic import routes_of
from infra.emulator.run.validation import check_first_traffic, check_service, check_service_id

MAX_SERVICES = 1_000  # per project and region: https://cloud.google.com/run/quotas
MAX_REVISIONS = 1_000  # per service; older ones that serve nothing are deleted
# What a caller may set; all else on a service is Run's own.
MUTABLE = (
    "description", "labels", "annotations", "client", "client_version", "ingress", "launch_stage",
    "binary_authorization", "template", "traffic", "scaling", "invoker_iam_disabled", "default_uri_disabled",
    "iap_enabled", "custom_audiences", "build_config", "multi_region_settings",
)  # fmt: skip


class Lifecycle:
    def __init__(self, cloud: Cloud, state: RunState, reconciler: Reconciler) -> None:
        self._operations, self._state, self._reconciler = cloud.operations, state, reconciler
        self._projects, self._policies, self._accounts = cloud.get(Projects), cloud.get(Policies), cloud.get(Accounts)

    def create(self, name: str, wanted: Any, principal: str, *, validate_only: bool = False) -> Any:
        """Answers the operation that brings a new service up; `wanted` is what the caller sent."""
        service_name = ServiceName.parse(name)
        check_service_id(service_name.id)
        service = ServicePb(name=name, uid=str(uuid.uuid4()), generation=1, creator=principal, last_modifier=principal)
        _copy_mutable(wanted, service)
        check_first_traffic(service)
        self._complete(service, principal)
        if name in self._state.services:
            raise already_exists(f"Resource '{service_name.id}' already exists.")
        if len(self._state.services.names(f"{service_name.parent}/services/")) >= MAX_SERVICES:
            raise _quota("Services", MAX_SERVICES)
        service.update_time.GetCurrentTime()
        service.create_time.CopyFrom(service.update_time)
        service.terminal_condition.state = State.CONDITION_PENDING
        return self._submit(service, revisions.revision_for(self._state, service, principal), validate_only)

    def update(self, name: str, wanted: Any, principal: str, *, validate_only: bool = False) -> Any:
        """Answers the operation that brings a service to `wanted`: the whole of it, as it shall be."""
        before = self._state.service(name)
        if before.HasField("delete_time"):
            raise failed_precondition(f"Resource '{short(name)}' is being deleted.")
        service = _copy(before)
        _copy_mutable(wanted, service)
        self._complete(service, principal)
        revision = revisions.revision_for(self._state, service, principal)
        if service != before:
            service.generation += 1
            service.last_modifier = principal
            service.update_time.GetCurrentTime()
        service.terminal_condition.type_ = "Ready"
        service.terminal_condition.state = State.CONDITION_PENDING
        for field in ("message", "reason", "revision_reason"):
            service.terminal_condition.ClearField(field)
        return self._submit(service, revision, validate_only)

    def delete(self, name: str, etag: str = "", *, validate_only: bool = False) -> Any:
        service = self._state.service(name)
        check_etag(service, etag)
        if validate_only:
            return self._done(name, service)
        service.delete_time.GetCurrentTime()
        service.expire_time.FromSeconds(service.delete_time.seconds + 30 * 86400)
        service.reconciling = True
        self._state.services.put(name, service)
        return self._start(name, service, self._remove(name))

    def delete_revision(self, name: str, etag: str = "", *, validate_only: bool = False) -> Any:
        revision = self._state.revision(name)
        check_etag(revision, etag)
        service = self._state.service(str(ServiceName.parse(name)))
        if name in {*routes_of(service).revisions, service.latest_created_revision}:
            raise failed_precondition(
                f'Revision "{short(name)}" cannot be directly deleted because it is actively serving.'
            )
        if validate_only:
            return self._done(name, revision)
        revision.delete_time.GetCurrentTime()
        revision.expire_time.FromSeconds(revision.delete_time.seconds + 30 * 86400)
        self._state.revisions.put(name, revision)
        return self._start(name, revision, self._reconciler.remove_revision(name))

    def resume(self) -> None:
        """After a restart: takes up what was under way, under the names of the operations that callers wait for."""
        begun = {service.name for service in self._state.services.list() if service.reconciling}
        for operation in self._operations.list("projects/"):
            subject = None if operation.done else self._subject(operation)
            if subject is not None:
                work = self._work_left(subject.name)
                self._operations.start(operation.name, subject, work, partial(self._current, subject))
                begun.discard(subject.name)
        for name in begun:
            self._start(name, self._state.service(name), self._work_left(name))

    def _subject(self, operation: Any) -> Any:
        """The service or revision that an operation is about; None if it is gone, or of another API."""
        for kind, table in ((ServicePb, self._state.services), (RevisionPb, self._state.revisions)):
            subject = kind()
            if operation.metadata.Unpack(subject):
                return subject if subject.name in table else None
        return None

    def _work_left(self, name: str) -> Coroutine[Any, Any, Any]:
        if name in self._state.revisions:
            return self._reconciler.remove_revision(name)
        service = self._state.service(name)
        if service.HasField("delete_time"):
            return self._remove(name)
        return self._reconciler.apply(name, service.generation, self._state.wanted(name))

    def _complete(self, service: Any, principal: str) -> None:
        name = ServiceName.parse(service.name)
        fill_in(service, self._projects.find(name.project).number)
        check_service(service)
        self._check_act_as(name.project, service.template.service_account, principal)

    def _check_act_as(self, project: str, account: str, principal: str) -> None:
        """Whoever deploys lends the service its account, which must exist, and must be allowed to."""
        home = account.partition("@")[2].removesuffix(".iam.gserviceaccount.com")
        resource = f"projects/{home if self._projects.exists(home) else project}/serviceAccounts/{account}"
        may = self._policies.allowed(principal, "iam.serviceAccounts.actAs", resource)
        if not may or resource not in self._accounts.table:
            permission = "iam.serviceaccounts.actAs"
            raise RpcError(
                Code.PERMISSION_DENIED,
                f"Permission '{permission}' denied on service account {account} (or it may not exist).",
                error_info("IAM_PERMISSION_DENIED", "run.googleapis.com", permission=permission, resource=resource),
            )

    def _submit(self, service: Any, revision: Any, validate_only: bool) -> Any:
        service.etag = etag(service)
        if validate_only:
            return self._done(service.name, service)
        service.reconciling = True
        if revision.name not in self._state.revisions:
            self._retire_oldest(service)
            self._state.add_revision(revision)
        self._state.want(revision.name)
        self._state.services.put(service.name, service)
        work = self._reconciler.apply(service.name, service.generation, revision.name)
        return self._start(service.name, service, work)

    def _start(self, name: str, subject: Any, work: Coroutine[Any, Any, Any]) -> Any:
        operation = f"{ServiceName.parse(name).parent}/operations/{self._operations.new_id()}"
        return self._operations.start(operation, shown(subject), work, partial(self._current, subject))

    def _done(self, name: str, subject: Any) -> Any:
        operation = f"{ServiceName.parse(name).parent}/operations/{self._operations.new_id()}"
        return self._operations.done(operation, shown(subject), shown(subject))

    def _current(self, subject: Any) -> Any:
        """What an operation's metadata shows in the end: the subject as it is now, or as it last was."""
        return shown(self._state.services.get(subject.name) or subject)

    async def _remove(self, name: str) -> Any:
        service = await self._reconciler.remove(name)
        self._policies.delete(name)
        return service

    def _retire_oldest(self, service: Any) -> None:
        known = list(self._state.revisions_of(service.name))
        if len(known) >= MAX_REVISIONS:
            kept = {*routes_of(service).revisions, service.latest_created_revision}
            oldest = min((r for r in known if r.name not in kept), key=lambda r: int(r.create_time.ToMicroseconds()))
            self._state.delete_revision(oldest.name)


def shown(service: Any) -> Any:
    """The service as API v2 shows it: its ingress appears when it first serves."""
    if service.DESCRIPTOR is ServicePb.DESCRIPTOR and not service.observed_generation:
        service = _copy(service)
        service.ClearField("ingress")
    return service


def check_etag(message: Any, given: str) -> None:
    """Raises ABORTED when the caller speaks of another version (AIP-154)."""
    if given and given != message.etag:
        raise aborted(
            f"Conflict for resource '{short(message.name)}': version '{given}' was specified but current version is "
            f"'{message.etag}'."
        )


def _copy(message: Any) -> Any:
    clone = type(message)()
    clone.CopyFrom(message)
    return clone


def _copy_mutable(source: Any, target: Any) -> None:
    for name in MUTABLE:
        target.ClearField(name)
    given = _copy(source)
    for field, _ in source.ListFields():
        if field.name not in MUTABLE:
            given.ClearField(field.name)
    target.MergeFrom(given)


def _quota(metric: str, limit: int) -> RpcError:
    return RpcError(
        Code.RESOURCE_EXHAUSTED,
        f"Quota limit '{metric} per region' has been exceeded. Limit: {limit} in region.",
        error_info("RESOURCE_QUOTA_EXCEEDED", "googleapis.com", quota_limit=metric, quota_limit_value=str(limit)),
    )

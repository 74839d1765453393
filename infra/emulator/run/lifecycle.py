"""What happens to what has revisions: created, changed, deleted; the same for API v2 and for the Knative v1 doors."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from functools import partial
from typing import Any, ClassVar

from google.cloud.run_v2 import IngressTraffic
from google.rpc.code_pb2 import Code

from infra.emulator.iam.orgpolicy import OrgPolicies
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import (
    RpcError,
    aborted,
    already_exists,
    error_info,
    failed_precondition,
    permission_denied,
)
from infra.emulator.projects.projects import Projects
from infra.emulator.run import revisions
from infra.emulator.run.acting import check_act_as
from infra.emulator.run.conditions import State
from infra.emulator.run.defaults import fill_in
from infra.emulator.run.names import ServiceName, etag, owner_of, short
from infra.emulator.run.reconcile import Reconciler
from infra.emulator.run.state import RevisionPb, ServicePb
from infra.emulator.run.state import State as RunState
from infra.emulator.run.traffic import routes_of
from infra.emulator.run.validation import check_first_traffic, check_service, check_service_id

INGRESSES = {
    IngressTraffic.INGRESS_TRAFFIC_ALL: "all",
    IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY: "internal",
    IngressTraffic.INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER: "internal-and-cloud-load-balancing",
}
MOST = 1_000  # services, and pools, per project and region: https://cloud.google.com/run/quotas
MAX_REVISIONS = 1_000  # per service or pool; older ones without a share are deleted
# What it takes to have callers checked, or not: https://cloud.google.com/run/docs/authenticating/public#required_roles
SET_POLICY = "run.services.setIamPolicy"


class Lifecycle(ABC):
    """Of one kind of what has revisions. `kind` is its message, `mutable` what a caller may set: all else is Run's."""

    kind: ClassVar[Any]
    mutable: ClassVar[tuple[str, ...]]
    metric: ClassVar[str]  # what its quota is called

    def __init__(self, cloud: Cloud, state: RunState, reconciler: Reconciler) -> None:
        self._operations, self._state, self._reconciler = cloud.operations, state, reconciler
        self._cloud, self._projects, self._policies = cloud, cloud.get(Projects), cloud.get(Policies)

    @abstractmethod
    def check_new(self, owner: Any) -> None:
        """What holds of one that is made, as its maker sent it."""

    @abstractmethod
    def complete(self, owner: Any, project_number: int) -> None:
        """Fills in what was not said, and checks all of it."""

    @abstractmethod
    def allow(self, owner: Any, before: Any, principal: str) -> None:
        """Raises what an organisation policy has against it, or the caller's rights; `before` is None for a new one."""

    def shown(self, message: Any) -> Any:
        """As API v2 shows the owner, or a revision."""
        return message

    def create(self, name: str, wanted: Any, principal: str, *, validate_only: bool = False) -> Any:
        """Answers the operation that brings a new one up; `wanted` is what the caller sent."""
        owner = self.kind(name=name, uid=str(uuid.uuid4()), generation=1, creator=principal, last_modifier=principal)
        self._copy_mutable(wanted, owner)
        self.check_new(owner)
        self._complete(owner, principal)
        self.allow(owner, None, principal)
        table, place = self._state.table_of(name), owner_of(name)
        if name in table:
            raise already_exists(f"Resource '{place.id}' already exists.")
        if len(table.names(f"{place.parent}/{place.kind}/")) >= MOST:
            raise _quota(self.metric, MOST)
        owner.update_time.GetCurrentTime()
        owner.create_time.CopyFrom(owner.update_time)
        owner.terminal_condition.state = State.CONDITION_PENDING
        return self._submit(owner, revisions.revision_for(self._state, owner, principal), validate_only)

    def update(self, name: str, wanted: Any, principal: str, *, validate_only: bool = False, anew: bool = False) -> Any:
        """Answers the operation that brings it to `wanted`: all of it, as it shall be. anew: with a new revision."""
        before = self._state.owner(name)
        if before.HasField("delete_time"):
            raise failed_precondition(f"Resource '{short(name)}' is being deleted.")
        owner = copied(before)
        self._copy_mutable(wanted, owner)
        self._complete(owner, principal)
        self.allow(owner, before, principal)
        revision = revisions.revision_for(self._state, owner, principal, anew=anew)
        if owner != before or revision.name not in self._state.revisions:
            owner.generation += 1
            owner.last_modifier = principal
            owner.update_time.GetCurrentTime()
        owner.terminal_condition.type_ = "Ready"
        owner.terminal_condition.state = State.CONDITION_PENDING
        for field in ("message", "reason", "revision_reason"):
            owner.terminal_condition.ClearField(field)
        return self._submit(owner, revision, validate_only)

    def delete(self, name: str, etag: str = "", *, validate_only: bool = False) -> Any:
        owner = self._state.owner(name)
        check_etag(owner, etag)
        if validate_only:
            return self._done(name, owner)
        owner.delete_time.GetCurrentTime()
        owner.expire_time.FromSeconds(owner.delete_time.seconds + 30 * 86400)
        owner.reconciling = True
        self._state.table_of(name).put(name, owner)
        return self._start(name, owner, self._remove(name))

    def delete_revision(self, name: str, etag: str = "", *, validate_only: bool = False) -> Any:
        revision = self._state.revision(name)
        check_etag(revision, etag)
        owner = self._state.owner(name)
        if name in {*routes_of(owner).revisions, owner.latest_created_revision}:
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
        begun = {owner.name for owner in self._all() if owner.reconciling}
        for operation in self._operations.list("projects/"):
            subject = None if operation.done else self._subject(operation)
            if subject is not None:
                work = self._work_left(subject.name)
                self._operations.start(operation.name, subject, work, partial(self._current, subject))
                begun.discard(subject.name)
        for name in begun:
            self._start(name, self._state.owner(name), self._work_left(name))

    @abstractmethod
    def _all(self) -> Any:
        """Every one of this kind."""

    def _subject(self, operation: Any) -> Any:
        """The owner or revision that an operation is about; None if it is gone, or of another kind or API."""
        own, revision = self.kind(), RevisionPb()
        if operation.metadata.Unpack(own):
            return own if own.name in self._state.table_of(own.name) else None
        if operation.metadata.Unpack(revision) and revision.name in self._state.revisions:
            return revision if self._state.owner(revision.name).DESCRIPTOR is self.kind.DESCRIPTOR else None
        return None

    def _work_left(self, name: str) -> Coroutine[Any, Any, Any]:
        if name in self._state.revisions:
            return self._reconciler.remove_revision(name)
        owner = self._state.owner(name)
        if owner.HasField("delete_time"):
            return self._remove(name)
        return self._reconciler.apply(name, owner.generation, self._state.wanted(name))

    def _complete(self, owner: Any, principal: str) -> None:
        project = owner_of(owner.name).project
        self.complete(owner, self._projects.find(project).number)
        check_act_as(self._cloud, project, owner.template.service_account, principal)

    def _submit(self, owner: Any, revision: Any, validate_only: bool) -> Any:
        owner.etag = etag(owner)
        if validate_only:
            return self._done(owner.name, owner)
        owner.reconciling = True
        if revision.name not in self._state.revisions:
            self._retire_oldest(owner)
            self._state.add_revision(revision)
        self._state.want(revision.name)
        self._state.table_of(owner.name).put(owner.name, owner)
        work = self._reconciler.apply(owner.name, owner.generation, revision.name)
        return self._start(owner.name, owner, work)

    def _start(self, name: str, subject: Any, work: Coroutine[Any, Any, Any]) -> Any:
        operation = f"{owner_of(name).parent}/operations/{self._operations.new_id()}"
        return self._operations.start(operation, self.shown(subject), work, partial(self._current, subject))

    def _done(self, name: str, subject: Any) -> Any:
        operation = f"{owner_of(name).parent}/operations/{self._operations.new_id()}"
        return self._operations.done(operation, self.shown(subject), self.shown(subject))

    def _current(self, subject: Any) -> Any:
        """What an operation's metadata shows in the end: the subject as it is now, or as it last was."""
        return self.shown(self._state.table_of(subject.name).get(subject.name) or subject)

    async def _remove(self, name: str) -> Any:
        owner = await self._reconciler.remove(name)
        self._policies.delete(name)
        return owner

    def _retire_oldest(self, owner: Any) -> None:
        known = list(self._state.revisions_of(owner.name))
        if len(known) >= MAX_REVISIONS:
            kept = {*routes_of(owner).revisions, owner.latest_created_revision}
            oldest = min((r for r in known if r.name not in kept), key=lambda r: int(r.create_time.ToMicroseconds()))
            self._state.delete_revision(oldest.name)

    def _copy_mutable(self, source: Any, target: Any) -> None:
        for name in self.mutable:
            target.ClearField(name)
        given = copied(source)
        for field, _ in source.ListFields():
            if field.name not in self.mutable:
                given.ClearField(field.name)
        target.MergeFrom(given)


class ServiceLifecycle(Lifecycle):
    kind = ServicePb
    metric = "Services"
    mutable = (
        "description", "labels", "annotations", "client", "client_version", "ingress", "launch_stage",
        "binary_authorization", "template", "traffic", "scaling", "invoker_iam_disabled", "default_uri_disabled",
        "iap_enabled", "custom_audiences", "build_config", "multi_region_settings",
    )  # fmt: skip

    def check_new(self, owner: Any) -> None:
        check_service_id(ServiceName.parse(owner.name).id)
        check_first_traffic(owner)

    def complete(self, owner: Any, project_number: int) -> None:
        fill_in(owner, project_number)
        check_service(owner)

    def allow(self, owner: Any, before: Any, principal: str) -> None:
        """What it has already it may keep: https://cloud.google.com/resource-manager/docs/organization-policy/org-policy-constraints."""
        if before is None or owner.ingress != before.ingress:
            ingress = INGRESSES.get(owner.ingress, "none")
            self._cloud.get(OrgPolicies).allow_ingress(ServiceName.parse(owner.name).project, ingress)
        unchecked = before is not None and before.invoker_iam_disabled
        if owner.invoker_iam_disabled != unchecked and not self._policies.allowed(principal, SET_POLICY, owner.name):
            raise permission_denied(SET_POLICY, owner.name, "run.googleapis.com")

    def shown(self, message: Any) -> Any:
        return shown(message)

    def _all(self) -> Any:
        return self._state.services.list()


def shown(service: Any) -> Any:
    """The service as API v2 shows it: its ingress appears when it first serves."""
    if service.DESCRIPTOR is ServicePb.DESCRIPTOR and not service.observed_generation:
        service = copied(service)
        service.ClearField("ingress")
    return service


def check_etag(message: Any, given: str) -> None:
    """Raises ABORTED when the caller speaks of another version (AIP-154)."""
    if given and given != message.etag:
        raise aborted(
            f"Conflict for resource '{short(message.name)}': version '{given}' was specified but current version is "
            f"'{message.etag}'."
        )


def copied(message: Any) -> Any:
    clone = type(message)()
    clone.CopyFrom(message)
    return clone


def _quota(metric: str, limit: int) -> RpcError:
    return RpcError(
        Code.RESOURCE_EXHAUSTED,
        f"Quota limit '{metric} per region' has been exceeded. Limit: {limit} in region.",
        error_info("RESOURCE_QUOTA_EXCEEDED", "googleapis.com", quota_limit=metric, quota_limit_value=str(limit)),
    )

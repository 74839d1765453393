"""Brings what runs to what a service or a worker pool asks for: starts its revision, then gives it its share."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from google.rpc.code_pb2 import Code

from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.errors import RpcError, aborted
from infra.emulator.run import revisions
from infra.emulator.run.conditions import Failure, State, Unready, condition, internal, revision_gone
from infra.emulator.run.defaults import LATEST
from infra.emulator.run.instances import Abandoned, Instances
from infra.emulator.run.names import owner_of
from infra.emulator.run.state import State as RunState
from infra.emulator.run.traffic import routes_of

log = logging.getLogger("emulator")
Addresses = Mapping[str, str]  # by tag; the owner's own is under ''; a pool has none


class Reconciler(ABC):
    """One owner of revisions is reconciled at a time; a change that comes meanwhile waits its turn."""

    def __init__(self, state: RunState, behaviour: Behaviour, instances: Instances) -> None:
        self._state, self._behaviour, self._instances = state, behaviour, instances
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @abstractmethod
    def asked(self, owner: Any) -> Any:
        """The shares of revisions that it asks for."""

    @abstractmethod
    async def open(self, owner: Any) -> Addresses:
        """Makes ready what its revisions are reached by."""

    @abstractmethod
    def conclude(self, owner: Any, failure: Failure | None, uris: Addresses) -> None:
        """Writes into it how its change ended, beside what all owners have."""

    @abstractmethod
    async def send(self, owner: Any) -> None:
        """Has what its statuses say come true."""

    @abstractmethod
    async def close(self, name: str) -> None:
        """Nothing leads to its revisions any more."""

    async def apply(self, name: str, generation: int, revision: str) -> Any:
        """Returns the settled owner; raises the RpcError that its operation ends with.

        generation: of the owner that the operation made. revision: full name of the one its template stands for.
        """
        async with self._turns[name]:
            try:
                failure = None
                if self._must_start(revision):
                    await self._behaviour.pause("run.service")
                    failure = await self._start(revision)
                else:
                    await self._behaviour.pause("run.traffic")
                return await self._settle(name, generation, revision, failure)
            except RpcError:
                raise
            except Exception as error:  # what this machine refuses us must not leave it reconciling for ever
                log.exception("reconciling %s", name)
                raise self._failed(name, generation, error) from error

    async def remove(self, name: str) -> Any:
        """Takes away what was deleted: the way to it, its instances, and then its state."""
        await self._behaviour.pause("run.traffic")
        await self.close(name)
        await self._stop_instances(name)  # a deployment that is under way is given up
        async with self._turns[name]:
            await self._stop_instances(name)
            owner = self._state.owner(name)
            self._state.delete_owner(name)
            owner.ClearField("reconciling")
            return owner

    async def remove_revision(self, name: str) -> Any:
        await self._behaviour.pause("run.traffic")
        revision = self._state.revision(name)
        await self._instances.stop(name)
        self._state.delete_revision(name)
        return revision

    async def _stop_instances(self, name: str) -> None:
        await asyncio.gather(*(self._instances.stop(revision.name) for revision in self._state.revisions_of(name)))

    def _must_start(self, name: str) -> bool:
        """A revision that failed before is tried again only if it is to have a share."""
        revision = self._state.revision(name)
        if revisions.is_ready(revision):
            return False
        return bool(revision.reconciling) or name in self._targets(self._state.owner(name), name)

    def _targets(self, owner: Any, latest: str) -> list[str]:
        """The full names of the revisions that are to have a share; `latest` stands for LATEST."""
        name = owner_of(owner.name)
        return [latest if target.type_ == LATEST else name.revision(target.revision) for target in self.asked(owner)]

    async def _start(self, name: str) -> Failure | None:
        """Starts an instance of the revision and writes down how that went."""
        owner = self._state.owner(name)
        check_still_wanted(owner)
        owner.latest_created_revision = name
        self._put(owner)
        failure = None
        try:
            await self._instances.prove(name)
        except Unready as unready:
            failure = unready.failure
        except Abandoned:
            check_still_wanted(self._state.owner(name))
            raise asyncio.CancelledError from None  # the emulator stops; the deployment goes on when it is back
        revision = self._state.revision(name)
        revisions.finish(revision, failure)
        self._state.revisions.put(name, revision)
        return failure

    async def _settle(self, name: str, generation: int, revision: str, failure: Failure | None) -> Any:
        """Gives the shares, unless a newer change waits to do so."""
        owner = self._state.owner(name)
        if failure is None and owner.generation == generation:
            failure = self._unroutable(owner, revision)
        uris = {} if failure else await self.open(owner)
        owner = self._state.owner(name)  # it may have been changed meanwhile; from here on it cannot be
        check_still_wanted(owner)
        owner.latest_created_revision = revision
        if revisions.is_ready(self._state.revision(revision)):
            owner.latest_ready_revision = revision
        if owner.generation == generation:
            self._conclude(owner, failure, uris)
        self._put(owner)
        await self.send(owner)
        self._mark_active(owner)
        if failure is not None:
            raise RpcError(Code.INTERNAL, failure.message)
        return owner

    def _conclude(self, owner: Any, failure: Failure | None, uris: Addresses) -> None:
        owner.observed_generation = owner.generation
        owner.ClearField("reconciling")
        state = State.CONDITION_SUCCEEDED if failure is None else State.CONDITION_FAILED
        owner.terminal_condition.CopyFrom(condition("Ready", state, failure))
        self.conclude(owner, failure, uris)

    def _failed(self, name: str, generation: int, error: Exception) -> RpcError:
        failure, owner = internal(str(error)), self._state.owner(name)
        if owner.generation == generation:
            self._conclude(owner, failure, {})
            self._put(owner)
        return RpcError(Code.INTERNAL, failure.message)

    def _unroutable(self, owner: Any, latest: str) -> Failure | None:
        """The first reason why a share cannot be given; None if all can."""
        for name in self._targets(owner, latest):
            revision = self._state.revisions.get(name)
            if revision is None:
                return revision_gone(name).failure
            if failure := revisions.failure_of(revision):
                return failure
        return None

    def _mark_active(self, owner: Any) -> None:
        having = routes_of(owner).revisions
        for revision in self._state.revisions_of(owner.name):
            if revisions.is_ready(revision) and revisions.set_active(revision, revision.name in having):
                self._state.revisions.put(revision.name, revision)

    def _put(self, owner: Any) -> None:
        self._state.table_of(owner.name).put(owner.name, owner)


def check_still_wanted(owner: Any) -> None:
    if owner.HasField("delete_time"):
        kind = "Worker pool" if "/workerPools/" in owner.name else "Service"
        raise aborted(f"{kind} '{owner.name}' was deleted while it was being deployed.")

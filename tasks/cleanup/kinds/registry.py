"""The kinds that clean-up knows, and who else needs things: the one list that a new kind is added to."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.cleanup.engine.model import Kind
from tasks.cleanup.kinds.adapter import Consumer, ResourceKind
from tasks.cleanup.kinds.buckets import Buckets
from tasks.cleanup.kinds.build_logs import BuildLogs
from tasks.cleanup.kinds.cloud_run import Jobs, WorkerPools
from tasks.cleanup.kinds.images import Images
from tasks.cleanup.kinds.releases import Releases
from tasks.cleanup.kinds.revisions import Revisions
from tasks.cleanup.kinds.service_accounts import ServiceAccounts
from tasks.cleanup.kinds.services import Services
from tasks.cleanup.kinds.sources import Sources
from tasks.failures.roles import Need

KINDS: tuple[ResourceKind, ...] = (
    Revisions(),
    Services(),
    Images(),
    Sources(),
    BuildLogs(),
    Buckets(),
    ServiceAccounts(),
)
CONSUMERS: tuple[Consumer, ...] = (*KINDS, Jobs(), WorkerPools(), Releases())
CLEANUP_NEEDS: tuple[Need, ...] = tuple(need for each in CONSUMERS for need in each.needs)
BY_KIND: Mapping[Kind, ResourceKind] = {each.kind: each for each in KINDS}

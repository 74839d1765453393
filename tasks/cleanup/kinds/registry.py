"""The kinds that clean-up knows, and who else needs things: the one list that a new kind is added to."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.cleanup.engine.model import Kind
from tasks.cleanup.kinds.account_uses import AccountUses
from tasks.cleanup.kinds.adapter import Consumer, ResourceKind
from tasks.cleanup.kinds.api_keys import ApiKeys
from tasks.cleanup.kinds.buckets import Buckets
from tasks.cleanup.kinds.build_logs import BuildLogs
from tasks.cleanup.kinds.certificates import Certificates
from tasks.cleanup.kinds.cloud_run import Executions, Instances, Jobs, WorkerPools
from tasks.cleanup.kinds.firewall_rules import FirewallRules
from tasks.cleanup.kinds.images import Images
from tasks.cleanup.kinds.kubernetes.users import CLUSTER_KINDS, Clusters
from tasks.cleanup.kinds.load_balancers import LoadBalancerParts
from tasks.cleanup.kinds.log_buckets import LogBuckets
from tasks.cleanup.kinds.log_sinks import LogSinks
from tasks.cleanup.kinds.own_files import Backups, Plans, Records
from tasks.cleanup.kinds.releases import Releases
from tasks.cleanup.kinds.revisions import Revisions
from tasks.cleanup.kinds.secret_versions import SecretVersions
from tasks.cleanup.kinds.secrets import Secrets
from tasks.cleanup.kinds.service_accounts import ServiceAccounts
from tasks.cleanup.kinds.services import Services
from tasks.cleanup.kinds.sources import Sources
from tasks.cleanup.kinds.sql_backups import SqlBackups
from tasks.cleanup.kinds.sql_instances import SqlInstances
from tasks.cleanup.kinds.template_uses import RecordedUses, TemplateUses
from tasks.failures.roles import Need

KINDS: tuple[ResourceKind, ...] = (
    Revisions(),
    Services(),
    Images(),
    Sources(),
    BuildLogs(),
    Plans(),
    Records(),
    Backups(),
    Buckets(),
    ServiceAccounts(),
    SecretVersions(),
    Secrets(),
    ApiKeys(),
    SqlInstances(),
    SqlBackups(),
    FirewallRules(),
    LoadBalancerParts(),
    Certificates(),
    LogSinks(),
    LogBuckets(),
    *CLUSTER_KINDS,
)
CONSUMERS: tuple[Consumer, ...] = (
    *KINDS,
    Jobs(),
    Executions(),
    WorkerPools(),
    Instances(),
    AccountUses(),
    TemplateUses(),
    RecordedUses(),
    Releases(),
    Clusters(),
)
CLEANUP_NEEDS: tuple[Need, ...] = tuple(need for each in CONSUMERS for need in each.needs)
BY_KIND: Mapping[Kind, ResourceKind] = {each.kind: each for each in KINDS}

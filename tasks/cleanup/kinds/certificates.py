"""TLS certificates of load balancers that no proxy names: seen so for a week, as nothing undoes their delete.

Those of Certificate Manager, which maps name, are not among them.
https://cloud.google.com/load-balancing/docs/ssl-certificates
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from infra.gcp import compute
from infra.gcp.compute import Resource
from tasks.cleanup.engine.model import Item, Traits
from tasks.cleanup.kinds.adapter import TIMEOUT_S, Keys, Look, refuse_another
from tasks.cleanup.kinds.estate import EstateKind, asked
from tasks.cleanup.kinds.firewall_rules import OF_CLUSTERS
from tasks.cleanup.kinds.load_balancers import ADMIN, CERTIFICATE, SEEN_UNUSED, SETTLE_S, all_chains, by_short_name
from tasks.failures.roles import Need
from tasks.names import resources

GKES = "mcrt-"  # https://cloud.google.com/kubernetes-engine/docs/how-to/managed-certs


class Certificates(EstateKind):
    kind = CERTIFICATE
    assets = ("compute.googleapis.com/SslCertificate",)
    traits = Traits(standing=True, first=SEEN_UNUSED, settle_s=SETTLE_S)
    dated_by_us = True
    needs = (
        Need("compute.sslCertificates.list", "roles/compute.viewer", "find certificates that no load balancer has"),
        Need("compute.sslCertificates.delete", ADMIN, "retention.foreign.certificates is delete"),
    )

    async def items(self, project: str, look: Look) -> Sequence[Item]:
        """Who names them has to be known, too; a proxy that stays needs its certificates."""
        chains = await look.once(all_chains(project))
        used = frozenset[str]().union(*chains.leads.values())
        found = await look.once(all_certificates(project))
        return [certificate_item(each, each.name in used, look) for each in found]

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        return by_short_name(items)

    async def again(self, before: Item) -> Item | None:
        found = await compute.get(before.name)
        if found is None:
            return None
        return replace(before, uploaded=found.created, etag=state(found))

    async def first(self, item: Item) -> bool:
        """Nothing: that it has been seen is what counts."""
        return True

    async def delete(self, item: Item) -> bool:
        """Google refuses what a proxy uses."""
        found = await compute.get(item.name)
        if found is None:
            return False
        refuse_another(item, found.created, state(found))
        return await compute.delete(item.name, TIMEOUT_S)


@functools.cache
def all_certificates(project: str) -> Callable[[Look], Awaitable[Sequence[Resource]]]:
    """For `Look.once`. Raises GoogleError."""
    return asked(compute.list_everywhere, project, "sslCertificates")


def certificate_item(found: Resource, used: bool, look: Look) -> Item:
    """Certificates carry no labels, so each is foreign."""
    name = resources.last(found.name)
    return Item(
        CERTIFICATE,
        found.name,
        "",
        owner=None,
        uploaded=found.created,
        etag=state(found),
        locked="a cluster's own" if name.startswith((*OF_CLUSTERS, GKES)) else "",
        prepared=None if used else look.memory.disabled.get(found.name, look.clock()),
    )


def state(found: Resource) -> str:
    """All of it but how far Google has come with a managed one."""
    return compute.state(found.body, ("managed", "expireTime", "certificate"))

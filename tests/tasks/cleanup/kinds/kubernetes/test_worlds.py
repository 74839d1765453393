"""Over whole clusters: nothing goes that anything speaks for, and nothing is left behind that may go."""

from __future__ import annotations

import asyncio
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.cleanup.engine.model import DELETE
from tasks.cleanup.engine.plan import plan
from tests.tasks.cleanup.kinds.kubernetes.clusters import a_cluster, a_policy, world_of
from tests.tasks.cleanup.kinds.kubernetes.worlds import Made, worlds

WORLDS = int(os.environ.get("SLIPWAY_WORLDS", "100"))
KINDS = {
    "configmaps": "ConfigMap", "secrets": "Secret", "persistentvolumeclaims": "PersistentVolumeClaim",
    "deployments": "Deployment", "statefulsets": "StatefulSet", "cronjobs": "CronJob", "services": "Service",
    "ingresses": "Ingress", "namespaces": "Namespace",
}  # fmt: skip


def key_of(name: str) -> str:
    plural, _, short = name.rpartition("/")[0].rpartition("/")[2], "", name.rpartition("/")[2]
    return f"{KINDS.get(plural, plural)}/{short}"


@given(worlds(), st.booleans())
@settings(max_examples=WORLDS, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_exactly_what_nothing_speaks_for_goes(made: Made, shared: bool) -> None:
    """shared: by two environments, each of which defines a part of what is there."""
    parts = (made.defined[::2], made.defined[1::2]) if shared else (made.defined,)
    clusters = [a_cluster(made.objects, part, volumes="delete") for part in parts]
    planned = plan(asyncio.run(world_of(*clusters)), a_policy())
    assert planned.refusals == ()
    steps = {key_of(step.item.name): step.action for step in planned.steps}
    assert set(steps) == made.judged - made.must_stay()
    assert {key for key, action in steps.items() if action == DELETE} == set(steps) & made.prepared

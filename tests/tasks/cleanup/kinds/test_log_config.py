"""Log sinks and log buckets on the local cloud: what leads nowhere, and what nothing is led to."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from google.cloud.logging_v2.services.config_service_v2 import ConfigServiceV2Client
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.cloud.logging_v2.types import LifecycleState, LogBucket, LogEntry, LogSink

from tasks.cleanup.carry_out import said
from tasks.cleanup.kinds.log_buckets import LogBuckets
from tasks.cleanup.kinds.log_sinks import LogSinks
from tests.conftest import PROJECT
from tests.tasks.cleanup.estate import LATER, Estate, a_manifest
from tests.tasks.cleanup.looks import a_look

PARENT = f"projects/{PROJECT}/locations/europe-west1"
_numbers = itertools.count(1)


class Made:
    def __init__(self) -> None:
        self.client, self.prefix = ConfigServiceV2Client(), f"log{next(_numbers)}-"

    def bucket(self, name: str, *, locked: bool = False, days: int = 30) -> str:
        """Its full name."""
        made = LogBucket(locked=locked, retention_days=days)
        asked = {"parent": PARENT, "bucket_id": self.prefix + name, "bucket": made}
        return self.client.create_bucket(request=asked).name

    def sink(self, name: str, destination: str, filter_: str = "", *, disabled: bool = False) -> str:
        sink = LogSink(name=self.prefix + name, destination=destination, filter=filter_, disabled=disabled)
        return self.client.create_sink(parent=f"projects/{PROJECT}", sink=sink).name

    def estate(self) -> Estate:
        look = a_look((a_manifest(PROJECT, ("log_sinks", "log_buckets")),))
        return Estate((LogSinks(), LogBuckets()), self.prefix, look, datetime.now(UTC) + timedelta(days=2))


@pytest.fixture
def made(cloud_env: dict[str, str]) -> Made:
    return Made()


async def test_a_sink_that_leads_nowhere_is_disabled_and_goes_a_week_later(made: Made) -> None:
    gone = f"logging.googleapis.com/{PARENT}/buckets/nobody-has-this"
    sink = made.sink("lost", gone)
    estate = made.estate()
    assert await estate.carry_out() == [f"disable sinks/{sink}"]
    assert made.client.get_sink(sink_name=f"projects/{PROJECT}/sinks/{sink}").disabled
    estate.now += LATER
    assert await estate.carry_out() == [f"delete sinks/{sink}"]


async def test_a_sink_that_leads_somewhere_stays_and_keeps_its_bucket(made: Made) -> None:
    bucket = made.bucket("audit")
    made.sink("audit", f"logging.googleapis.com/{bucket}", 'severity="ALERT"')
    made.sink("topic", f"pubsub.googleapis.com/projects/{PROJECT}/topics/audit")
    made.sink("no-such-storage", f"storage.googleapis.com/{made.prefix}nobody")
    plan = await made.estate().plan()
    assert [step.item.name.rpartition("-")[2] for step in plan.steps] == ["storage"]
    assert {each.detail for each in plan.kept} == {
        f"logging.googleapis.com/{bucket}",
        f"pubsub.googleapis.com/projects/{PROJECT}/topics/audit",
        f"sink {made.prefix}audit",
    }


async def test_a_bucket_that_nothing_is_led_to_goes_and_can_be_had_back(made: Made) -> None:
    bucket, _ = made.bucket("old"), made.bucket("fixed", locked=True)
    estate = made.estate()
    (step,) = (await estate.plan()).steps
    command = f"gcloud logging buckets undelete {made.prefix}old --location=europe-west1 --project={PROJECT}"
    assert command in said(step)
    assert await estate.carry_out() == [f"delete locations/europe-west1/buckets/{made.prefix}old"]
    assert made.client.get_bucket(request={"name": bucket}).lifecycle_state == LifecycleState.DELETE_REQUESTED
    assert await estate.carry_out() == []
    made.client.undelete_bucket(request={"name": bucket})
    assert made.client.get_bucket(request={"name": bucket}).lifecycle_state == LifecycleState.ACTIVE


def filled(made: Made, name: str, days: int) -> str:
    """A bucket that has one entry, of now; the sink that led to it has been disabled since."""
    bucket, log = made.bucket(name, days=days), f"projects/{PROJECT}/logs/{made.prefix}{name}"
    sink = LogSink(name=made.sink(name, f"logging.googleapis.com/{bucket}", f'logName="{log}"'), disabled=True)
    LoggingServiceV2Client().write_log_entries(
        log_name=log, resource={"type": "global"}, entries=[LogEntry(text_payload="came")]
    )
    mask = {"paths": ["disabled"]}
    made.client.update_sink(
        request={"sink_name": f"projects/{PROJECT}/sinks/{sink.name}", "sink": sink, "update_mask": mask}
    )
    return bucket


async def test_a_bucket_stays_while_it_keeps_anything(made: Made) -> None:
    """Its retention says for how long that matters: years, where an audit may ask."""
    short, audit = filled(made, "short", days=7), filled(made, "audit", days=400)
    estate = made.estate()
    kept = [each for each in (await estate.plan()).kept if "/buckets/" in each.name]
    assert {each.name: each.detail for each in kept} == {
        short: "entries of the last 30 days, which it keeps",
        audit: "entries of the last 400 days, which it keeps",
    }
    estate.now += timedelta(days=60)
    assert [each.item.name for each in (await estate.plan()).steps if "/buckets/" in each.item.name] == [short]

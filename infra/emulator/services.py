"""Every emulated Google service, by the name of its API."""

from __future__ import annotations

from infra.emulator.cloud import Cloud
from infra.emulator.longrunning import LongRunning


def mount_all(cloud: Cloud) -> None:
    for service in (LongRunning,):
        cloud.mount(service(cloud))

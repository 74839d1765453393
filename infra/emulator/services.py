"""Every emulated Google service, by the name of its API."""

from __future__ import annotations

from infra.emulator.artifacts.containeranalysis import ContainerAnalysis
from infra.emulator.artifacts.contents import Contents
from infra.emulator.artifacts.oci_blobs import Uploads
from infra.emulator.artifacts.oci_manifests import Registry
from infra.emulator.artifacts.repositories import Repositories
from infra.emulator.artifacts.sweeper import Sweeper
from infra.emulator.builds.service import CloudBuild
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.longrunning import LongRunning
from infra.emulator.monitoring.api import Monitoring
from infra.emulator.platform import PLATFORM
from infra.emulator.projects.locations import Locations
from infra.emulator.run.knative.routes import Knative
from infra.emulator.run.others_api import OtherKinds
from infra.emulator.run.revisions_api import Revisions
from infra.emulator.run.services_api import Services
from infra.emulator.storage.services import STORAGE


def mount_all(cloud: Cloud) -> None:
    for service in (
        LongRunning,
        Services,
        Revisions,
        OtherKinds,
        Knative,
        Monitoring,
        Locations,
        Repositories,
        Contents,
        Registry,
        Uploads,
        Sweeper,
        ContainerAnalysis,
        CloudBuild,
        *PLATFORM,
        *STORAGE,
    ):
        cloud.mount(service(cloud))

"""Every emulated Google service: the state of each in the order in which they need each other, then their APIs."""

from __future__ import annotations

from pathlib import Path

from infra.emulator.artifacts.containeranalysis import ContainerAnalysis
from infra.emulator.artifacts.contents import Contents
from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.oci_blobs import Uploads as BlobUploads
from infra.emulator.artifacts.oci_manifests import Registry
from infra.emulator.artifacts.repositories import Repositories
from infra.emulator.artifacts.sweeper import Sweeper
from infra.emulator.builds.service import CloudBuild
from infra.emulator.iam.accounts import Accounts
from infra.emulator.iam.admission import Admission
from infra.emulator.iam.credentials import Credentials
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.oauth import OAuth
from infra.emulator.iam.orgpolicy import OrgPolicies
from infra.emulator.iam.orgpolicy_api import OrgPolicy
from infra.emulator.iam.policies import Policies
from infra.emulator.iam.roles_api import Roles
from infra.emulator.iam.service_accounts import AccountKeys, AccountPolicies, ServiceAccounts
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.longrunning import LongRunning
from infra.emulator.logs.api import Logging
from infra.emulator.logs.entries import Logs
from infra.emulator.management.billing import Billing
from infra.emulator.management.resourcemanager import ProjectsV1, ProjectsV3
from infra.emulator.management.serviceusage import ServiceUsage
from infra.emulator.monitoring.api import Monitoring
from infra.emulator.projects.locations import Locations
from infra.emulator.projects.projects import Projects
from infra.emulator.run.knative.routes import Knative
from infra.emulator.run.others_api import OtherKinds
from infra.emulator.run.revisions_api import Revisions
from infra.emulator.run.services_api import Services
from infra.emulator.run.system import CloudRun
from infra.emulator.secrets.api import SecretManager, SecretVersions
from infra.emulator.secrets.state import Secrets
from infra.emulator.storage.batch import Batch
from infra.emulator.storage.json_buckets import JsonBuckets
from infra.emulator.storage.json_objects import JsonObjects
from infra.emulator.storage.objects import Objects
from infra.emulator.storage.uploads import Uploads
from infra.emulator.storage.xml_api import XmlApi

# Google's client packages, which describe the RPCs of these services.
PACKAGES = (
    "google.cloud.run_v2",
    "google.cloud.devtools.cloudbuild_v1",
    "google.cloud.artifactregistry_v1",
    "google.cloud.service_usage_v1",
    "google.cloud.resourcemanager_v3",
    "google.cloud.secretmanager_v1",
    "google.cloud.iam_admin_v1",
    "google.cloud.iam_credentials_v1",
    "google.cloud.billing_v1",
    "google.cloud.orgpolicy_v2",
    "google.cloud.logging_v2",
    "google.cloud.monitoring_v3",
)
# Of two routes that fit a request equally well the earlier one answers.
APIS = (
    LongRunning, Locations,
    Services, Revisions, OtherKinds, Knative,
    Monitoring,
    Repositories, Contents, Registry, BlobUploads, Sweeper, ContainerAnalysis,
    CloudBuild,
    AccountKeys, AccountPolicies, ServiceAccounts, Credentials, OAuth, OrgPolicy, Roles,
    Billing, ProjectsV1, ProjectsV3, ServiceUsage,
    Logging,
    SecretManager, SecretVersions,
    JsonBuckets, JsonObjects, Uploads, XmlApi, Batch,
)  # fmt: skip


def build(data: Path, profile: str = "brisk") -> Cloud:
    """A cloud with every service in it, before its doors are opened; `data` is the folder of its state."""
    cloud = Cloud(data, profile, PACKAGES)
    _put_states(cloud)
    for api in APIS:
        cloud.mount(api(cloud))
    return cloud


def _put_states(cloud: Cloud) -> None:
    store, behaviour = cloud.store, cloud.behaviour
    projects = cloud.put(Projects(store, behaviour))
    identity = cloud.put(Identity(store))
    policies = cloud.put(Policies(store, behaviour))
    cloud.put(Accounts(store, projects, identity, policies))
    cloud.put(Admission(projects, policies, cloud.put(OrgPolicies(store, policies))))
    cloud.put(Logs(store))
    cloud.put(Secrets(store, projects))
    images = cloud.put(Images(store, cloud.data))
    objects = cloud.put(Objects(store, projects, policies, cloud.data))
    run = cloud.put(CloudRun(cloud))
    cloud.on_reset += [objects.reset, identity.reset]
    cloud.ageable |= {
        "images": images.catalogue.manifests,
        "revisions": run.state.revisions,
        "services": run.state.services,
        "objects": objects.live,
        "buckets": objects.buckets.table,
    }

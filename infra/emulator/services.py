"""Every emulated Google service: the state of each in the order in which they need each other, then their APIs."""

from __future__ import annotations

from pathlib import Path

from infra.emulator.apigateway.api import ApiGateway
from infra.emulator.apigateway.beta import Beta
from infra.emulator.apigateway.front import Gateways
from infra.emulator.apigateway.policies import GatewayPolicies
from infra.emulator.apigateway.state import Resources
from infra.emulator.apikeys.api import ApiKeysV2
from infra.emulator.apikeys.state import ApiKeys
from infra.emulator.artifacts.containeranalysis import ContainerAnalysis
from infra.emulator.artifacts.contents import Contents
from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.notes_api import NotesApi
from infra.emulator.artifacts.oci_blobs import Uploads as BlobUploads
from infra.emulator.artifacts.oci_manifests import Registry
from infra.emulator.artifacts.osv import Osv
from infra.emulator.artifacts.repositories import Repositories
from infra.emulator.artifacts.scanner import Scanner
from infra.emulator.artifacts.sweeper import Sweeper
from infra.emulator.assets.api import AssetSearch
from infra.emulator.assets.inventory import Assets
from infra.emulator.builds.connections import Connections
from infra.emulator.builds.service import CloudBuild
from infra.emulator.compute.api import ComputeApi, ComputeLists
from infra.emulator.compute.state import Compute
from infra.emulator.firestore.relay import Firestore
from infra.emulator.functions.api import CloudFunctions
from infra.emulator.functions.state import Functions
from infra.emulator.iam.accounts import Accounts
from infra.emulator.iam.activity_api import PolicyAnalyzer
from infra.emulator.iam.admission import Admission
from infra.emulator.iam.credentials import Credentials
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.oauth import OAuth
from infra.emulator.iam.orgpolicy import OrgPolicies
from infra.emulator.iam.orgpolicy_api import OrgPolicy
from infra.emulator.iam.policies import Policies
from infra.emulator.iam.roles_api import Roles
from infra.emulator.iam.service_accounts import AccountKeys, AccountPolicies, ServiceAccounts
from infra.emulator.iam.sts import SecurityTokens
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.longrunning import LongRunning
from infra.emulator.kubernetes.api import ContainerEngine
from infra.emulator.kubernetes.clusters import Clusters
from infra.emulator.kubernetes.objects import Objects as ClusterObjects
from infra.emulator.logs.api import Logging
from infra.emulator.logs.config import LogBuckets, LogConfig, LogSinks
from infra.emulator.logs.entries import Logs
from infra.emulator.management.billing import Billing
from infra.emulator.management.catalog import Catalog, Prices
from infra.emulator.management.organizations import Organizations
from infra.emulator.management.resourcemanager import ProjectsV1, ProjectsV3
from infra.emulator.management.serviceusage import ServiceUsage
from infra.emulator.monitoring.api import Monitoring
from infra.emulator.monitoring.measurements import Measurements
from infra.emulator.projects.locations import Locations
from infra.emulator.projects.managed import ManagedServices
from infra.emulator.projects.projects import Projects
from infra.emulator.run.jobs.executions_api import ExecutionsAndTasks
from infra.emulator.run.jobs.jobs_api import Jobs
from infra.emulator.run.jobs.system import CloudJobs
from infra.emulator.run.knative.job_routes import KnativeJobs
from infra.emulator.run.knative.pool_routes import KnativePools
from infra.emulator.run.knative.routes import Knative
from infra.emulator.run.others_api import OtherKinds
from infra.emulator.run.pools.pools_api import WorkerPools
from infra.emulator.run.pools.system import CloudPools
from infra.emulator.run.revisions_api import Revisions
from infra.emulator.run.services_api import Services
from infra.emulator.run.system import CloudRun
from infra.emulator.sboms.api import Sboms
from infra.emulator.scheduler.api import CloudScheduler
from infra.emulator.secrets.api import SecretManager, SecretVersions
from infra.emulator.secrets.state import Secrets
from infra.emulator.sql.api import BackupRuns, Instances
from infra.emulator.sql.operations import SqlBackups, SqlOperations
from infra.emulator.sql.recovery import SqlRecovery
from infra.emulator.sql.state import Sql
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
    "google.cloud.devtools.cloudbuild_v2",
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
    "google.cloud.apigateway_v1",
    "google.cloud.api_keys_v2",
    "google.cloud.functions_v2",
)
# Of two routes that fit a request equally well the earlier one answers.
APIS = (
    LongRunning, Locations,
    Services, Revisions, Jobs, ExecutionsAndTasks, WorkerPools, OtherKinds, KnativeJobs, KnativePools, Knative,
    Monitoring,
    Repositories, Contents, Registry, BlobUploads, Sweeper, ContainerAnalysis, NotesApi, Osv, Sboms,
    CloudBuild, Connections, CloudFunctions, Firestore,
    AccountKeys, AccountPolicies, ServiceAccounts, Credentials, OAuth, SecurityTokens, OrgPolicy, Roles, PolicyAnalyzer,
    Billing, Catalog, Organizations, ProjectsV1, ProjectsV3, ServiceUsage,
    Logging, LogBuckets, LogSinks, ContainerEngine, CloudScheduler,
    SecretManager, SecretVersions,
    Instances, BackupRuns, SqlOperations, SqlBackups, SqlRecovery, AssetSearch, ComputeLists, ComputeApi,
    ApiKeysV2, ApiGateway, Beta, GatewayPolicies,
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
    cloud.put(ManagedServices(store))
    identity = cloud.put(Identity(store))
    policies = cloud.put(Policies(store, behaviour))
    cloud.put(Accounts(store, projects, identity, policies))
    cloud.put(Admission(projects, policies, cloud.put(OrgPolicies(store, policies))))
    cloud.put(Logs(store))
    cloud.put(LogConfig(store))
    cloud.put(Secrets(store, projects))
    cloud.put(ApiKeys(store))
    cloud.put(Prices(cloud))
    cloud.put(Measurements(cloud))
    cloud.put(Sql(cloud))
    cloud.put(Compute(cloud))
    cloud.put(Images(store, cloud.data))
    cloud.put(Scanner(cloud))
    objects = cloud.put(Objects(store, projects, policies, cloud.data))
    in_clusters = cloud.put(ClusterObjects(store))
    cloud.put(Clusters(cloud, projects, in_clusters))
    cloud.put(CloudRun(cloud))
    cloud.put(CloudJobs(cloud))
    cloud.put(CloudPools(cloud))
    cloud.put(Functions(cloud))
    cloud.put(Resources(cloud))
    cloud.put(Gateways(cloud))
    cloud.put(Assets(cloud))
    cloud.on_reset += [objects.reset, identity.reset]
    _let_age(cloud)


def _let_age(cloud: Cloud) -> None:
    """What tests may make older than it is."""
    secrets, logs, sql, run = cloud.get(Secrets), cloud.get(LogConfig), cloud.get(Sql), cloud.get(CloudRun).state
    objects = cloud.get(Objects)
    cloud.ageable |= {
        "keys": cloud.get(ApiKeys).table,
        "secrets": secrets.table,
        "secret versions": secrets.versions,
        "log buckets": logs.buckets,
        "log sinks": logs.sinks,
        "compute": cloud.get(Compute).table,
        "databases": sql.instances,
        "database backups": sql.runs,
        "images": cloud.get(Images).catalogue.manifests,
        "revisions": run.revisions,
        "services": run.services,
        "objects": objects.live,
        "buckets": objects.buckets.table,
        "kubernetes": cloud.get(ClusterObjects).table,
    }

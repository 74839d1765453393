"""The services that every project stands on, as one tuple to mount."""

from infra.emulator.iam.credentials import Credentials
from infra.emulator.iam.oauth import OAuth
from infra.emulator.iam.orgpolicy_api import OrgPolicy
from infra.emulator.iam.roles_api import Roles
from infra.emulator.iam.service_accounts import AccountKeys, AccountPolicies, ServiceAccounts
from infra.emulator.logs.api import Logging
from infra.emulator.projects.billing import Billing
from infra.emulator.projects.resourcemanager import ProjectsV1, ProjectsV3
from infra.emulator.projects.serviceusage import ServiceUsage
from infra.emulator.secrets.api import SecretManager, SecretVersions

PLATFORM = (
    AccountKeys,
    AccountPolicies,
    Billing,
    Credentials,
    Logging,
    OAuth,
    OrgPolicy,
    ProjectsV1,
    ProjectsV3,
    Roles,
    SecretManager,
    SecretVersions,
    ServiceAccounts,
    ServiceUsage,
)

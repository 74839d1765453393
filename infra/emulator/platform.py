"""The services that every project stands on, as one tuple to mount."""

from infra.emulator.billing import Billing
from infra.emulator.iam import AccountKeys, AccountPolicies, ServiceAccounts
from infra.emulator.iam_credentials import Credentials
from infra.emulator.iam_roles import Roles
from infra.emulator.logging_api import Logging
from infra.emulator.oauth import OAuth
from infra.emulator.orgpolicy_api import OrgPolicy
from infra.emulator.resourcemanager import ProjectsV1, ProjectsV3
from infra.emulator.secretmanager_api import SecretManager, SecretVersions
from infra.emulator.serviceusage import ServiceUsage

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

"""The service accounts of a release: what services and builds run as, and as whom private services are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set

from infra.gcp import builds, project, secrets
from infra.gcp.calls.errors import GoogleError
from infra.gcp.iam import accounts, identity
from tasks.failures.cause import Cause
from tasks.failures.roles import ACT_AS, INVOKE, MAKE_TOKENS, READ_SECRET, Need
from tasks.manifest.settings import Part
from tasks.model import Readiness, Request
from tasks.preflight.findings import CONSOLE, merge, refuse
from tasks.preflight.permissions import GONE, is_open

Policy = Mapping[str, Set[str]]  # members by role
Secret = tuple[str, str]  # its project and its short name
# What builds need of a project: any role of each line has it. https://cloud.google.com/build/docs/securing/configure-user-specified-service-accounts
BUILDER = "roles/cloudbuild.builds.builder"
_ALL = {BUILDER, "roles/editor", "roles/owner"}
BUILD_ROLES = {
    "read sources and write logs in the bucket": _ALL | {"roles/storage.admin", "roles/storage.objectAdmin"},
    "push images": _ALL | {"roles/artifactregistry.writer", "roles/artifactregistry.repoAdmin"},
}
READERS = {READ_SECRET.role, "roles/secretmanager.admin", "roles/owner"}
ACCOUNT = "serviceAccount:"
ONE_ONLY = ("user:", "serviceAccount:", "principal:")  # members that mean one identity; a federated one is no account
INVOKERS = {INVOKE.role, "roles/run.servicesInvoker", "roles/run.admin", "roles/owner", "roles/editor"}


async def check_accounts(request: Request) -> Readiness:
    """That each account is there, that we may act as it, and that builds may do what they must: in two rounds."""
    emails, member, (builder, unclear), policy = await asyncio.gather(
        runtime_accounts(request, request.parts), identity.member(), build_account(request), _policy(request)
    )
    acting = () if not builder or is_legacy(builder) else (builder,)
    wanted = sorted({*emails, *acting})
    found = await asyncio.gather(*(_check_act_as(request, each, member) for each in wanted))
    return merge([unclear, *found, *([_check_builder(request, builder, policy)] if builder else [])])


async def build_account(request: Request) -> tuple[str, Readiness]:
    """What builds will run as, '' where that is not known or nothing is built; and what there is to say of that."""
    if not request.built:
        return "", Readiness()
    if named := request.settings.build_service_account:
        return named, Readiness()
    try:
        default = await builds.default_account(request.project, request.build_region)
    except GoogleError as error:
        if error.reason == "SERVICE_DISABLED":  # that the API is off is told by itself
            return "", Readiness()
        if error.status not in (*GONE, "UNIMPLEMENTED"):
            raise
        return "", Readiness(notes=("Which account Cloud Build runs builds as could not be seen.",))
    return default, Readiness() if default else no_default(request)


def no_default(request: Request) -> Readiness:
    """Organisation policies may forbid both: https://cloud.google.com/build/docs/cloud-build-service-account-updates"""
    return refuse(
        "service accounts",
        Cause.INVALID_CONFIG,
        f"Cloud Build has no default service account in project {request.project}, so that builds must name one.",
        f"set environments.{request.environment}.build_service_account in slipway.yaml to an account with {BUILDER}",
        f"{CONSOLE}/cloud-build/settings/service-account?project={request.project}",
    )


def is_legacy(email: str) -> bool:
    """Cloud Build's own account, of projects older than mid 2024: whoever may start builds may have them run as it."""
    return email.endswith("@cloudbuild.gserviceaccount.com")


async def runtime_accounts(request: Request, parts: Sequence[Part]) -> list[str]:
    """What these services, jobs and pools run as."""
    named = [part.service_account for part in parts]
    default = ""
    if not all(named):
        default = identity.compute_account((await project.get_project(request.project)).number)
    return list(dict.fromkeys(account or default for account in named))


async def _check_act_as(request: Request, email: str, member: str) -> Readiness:
    """Whether it is there, too: a right to act as every account of a project says nothing of one that is not there."""
    try:
        held = await accounts.test_permissions(email, [ACT_AS.permission])
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return no_account(request, email)
        if error.reason != "SERVICE_DISABLED":  # a release gets on without that API
            raise
        held = await project.test_permissions(request.project, [ACT_AS.permission])
    return Readiness() if held else lacking(request, email, ACT_AS, member)


def no_account(request: Request, email: str) -> Readiness:
    name, _, domain = email.partition("@")
    home = domain.removesuffix(".iam.gserviceaccount.com")
    made = f"gcloud iam service-accounts create {name} --project={home}"
    chosen = (
        f"set environments.{request.environment}.service_account in slipway.yaml to one that is there, and "
        "build_service_account, too, if builds are to run as it"
    )
    return refuse(
        "service accounts",
        Cause.NOT_FOUND,
        f"There is no service account {email}.",
        chosen if home == domain else f"{made}  # or correct its name in slipway.yaml",
        f"{CONSOLE}/iam-admin/serviceaccounts?project={request.project}",
    )


def lacking(request: Request, email: str, need: Need, member: str) -> Readiness:
    return refuse(
        "service accounts",
        Cause.PERMISSION,
        f"Missing on service account {email}: {need.permission} ({need.why}).",
        f"gcloud iam service-accounts add-iam-policy-binding {email} --project={request.project}"
        f" --member={member} --role={need.role}",
        f"{CONSOLE}/iam-admin/serviceaccounts?project={request.project}",
    )


async def _policy(request: Request) -> Policy | None:
    """The project's; None where it may not be read, or nothing is built."""
    if not request.built:
        return None
    try:
        return await project.policy(request.project)
    except GoogleError as error:
        if error.status != "PERMISSION_DENIED":
            raise
        return None


def _check_builder(request: Request, email: str, policy: Policy | None) -> Readiness:
    """Nobody can be asked what another may do, so only the project's policy tells, where we may read it."""
    if policy is None:
        return Readiness(notes=(f"Whether builds may do their work as {email} could not be seen.",))
    return judge_builder(request.project, email, policy)


def judge_builder(project_id: str, email: str, policy: Policy) -> Readiness:
    """A note, no problem: roles may be given elsewhere, by a group or by a role of one's own."""
    member = f"serviceAccount:{email}"
    lacks = [what for what, roles in BUILD_ROLES.items() if not has_role(policy, member, roles)]
    if not lacks:
        return Readiness()
    command = f"gcloud projects add-iam-policy-binding {project_id} --member={member} --role={BUILDER}"
    return Readiness(
        notes=(f"The project's policy does not let {email} {' or '.join(lacks)}. If nothing else does: {command}",)
    )


def has_role(policy: Policy, member: str, roles: Set[str]) -> bool:
    return any(member in members for role, members in policy.items() if role in roles)


async def check_readers(request: Request) -> Readiness:
    """That what services, jobs and builds run as may read their secrets, which is asked only when one starts."""
    own = request.project
    wanted = {(part.service_account, ref.place(own)) for part in request.parts for ref in part.secret_refs}
    of_builds = {ref.place(own) for name in request.built for ref in request.part(name).build_secrets}
    if not wanted and not of_builds:
        return Readiness()
    builder = (await build_account(request))[0] if of_builds else ""
    wanted |= {(builder, place) for place in of_builds if builder}
    number = (await project.get_project(own)).number
    pairs = sorted({(account or identity.compute_account(number), place) for account, place in wanted})
    by_place: dict[Secret, list[str]] = {}
    for account, place in pairs:
        by_place.setdefault(place, []).append(account)
    return merge(await asyncio.gather(*(_check_readers(*each) for each in by_place.items())))


async def _check_readers(secret: Secret, readers: Sequence[str]) -> Readiness:
    """Of one secret: in the policies that its own project has, whoever's services read it."""
    home, name = secret
    try:
        policies = await asyncio.gather(project.policy(home), secrets.policy(home, name))
    except GoogleError as error:
        if error.status not in GONE or error.reason == "SERVICE_DISABLED":
            raise
        return Readiness(notes=(f"Whether {', '.join(readers)} may read the secret {name} could not be seen.",))
    shut = [each for each in readers if not lets_read(each, policies)]
    above = await _above(home) if shut else []
    return merge(judge_reader(secret, each, above) for each in shut)


async def _above(home: str) -> list[Policy] | None:
    """Of what a project is in; None where that may not be read."""
    try:
        return [*await project.inherited(home)]
    except GoogleError as error:
        if error.status not in GONE:
            raise
        return None


def lets_read(account: str, policies: Sequence[Policy]) -> bool:
    """Whether one of the policies lets it read a secret, or could: by a group, or by a role of one's own."""
    member = f"{ACCOUNT}{account}"
    return any(has_role(policy, member, READERS) or _perhaps(policy, member) for policy in policies)


def judge_reader(secret: Secret, account: str, above: Sequence[Policy] | None) -> Readiness:
    """Of one that neither the secret's own policy nor its project's lets read it.

    A problem where nothing that the project is in does, either. A note where that could not be seen (None).
    """
    (home, name), member = secret, f"{ACCOUNT}{account}"
    command = (
        f"gcloud secrets add-iam-policy-binding {name} --project={home} --member={member} --role={READ_SECRET.role}"
    )
    if above is None:
        return Readiness(
            notes=(
                f"Neither the secret {name} nor the project {home} lets {account} read it. If no folder and no "
                f"organization does: {command}",
            )
        )
    if lets_read(account, above):
        return Readiness()
    return refuse(
        "secrets",
        Cause.PERMISSION,
        f"The service account {account} may not read the secret {name} ({READ_SECRET.permission}).",
        command,
        f"{CONSOLE}/security/secret-manager/secret/{name}?project={home}",
    )


def _perhaps(policy: Policy, member: str) -> bool:
    """Whether a role of somebody's own making, or a group that may have the member, could be what lets it."""
    return any(
        (role in READERS and any(not each.startswith(ONE_ONLY) for each in members))
        or (not role.startswith("roles/") and member in members)
        for role, members in policy.items()
    )


async def check_prober(request: Request) -> Readiness:
    """That a service which not everybody may call yet, as none is at first, can be asked whether it is healthy."""
    names = [request.run_service(place) for place in request.places]
    if all(await asyncio.gather(*(is_open(name) for name in names))):
        return Readiness()
    own, declared = await identity.whoami(), request.settings.prober or ""
    if own and not declared:
        return await _mint(request, "", own)  # that it may call the services is among our own permissions
    probers = (
        [declared]
        if declared
        else await runtime_accounts(request, [request.service(name) for name in request.services])
    )
    found = await asyncio.gather(*(_mint(request, each, own) for each in probers))
    invoke = [
        await _check_invoker(request, each) for each, made in zip(probers, found, strict=True) if made == Readiness()
    ]
    return merge([*found, *invoke])


async def check_invokers(request: Request) -> Readiness:
    """That accounts of the project are there whom services let in: Google lets nobody in who is not."""
    ending = f"@{request.project}.iam.gserviceaccount.com"
    named = {who for name in request.services for who in request.service(name).invokers if who.endswith(ending)}
    emails = sorted(who.removeprefix(ACCOUNT) for who in named if who.startswith(ACCOUNT))
    return merge(await asyncio.gather(*(_check_there(request, email) for email in emails)))


async def _check_there(request: Request, email: str) -> Readiness:
    try:
        await accounts.test_permissions(email, [ACT_AS.permission])
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return no_account(request, email)
        if error.reason != "SERVICE_DISABLED" and error.status != "PERMISSION_DENIED":
            raise
    return Readiness()


async def _mint(request: Request, prober: str, own: str) -> Readiness:
    try:
        await identity.fetch_id_token(f"https://{request.app}.{request.project}", prober)
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return no_account(request, prober)
        if error.status != "PERMISSION_DENIED" or error.reason == "SERVICE_DISABLED":
            raise
        member = await identity.member() if prober else "MEMBER"  # whoever is behind an account that is impersonated
        return lacking(request, prober or own, MAKE_TOKENS, member)
    return Readiness()


async def _check_invoker(request: Request, prober: str) -> Readiness:
    """As for builds: a note where the project's policy does not show it."""
    try:
        policy = await project.policy(request.project)
    except GoogleError as error:
        if error.status != "PERMISSION_DENIED":
            raise
        return Readiness(notes=(f"Whether {prober} may call the services could not be seen.",))
    member = f"serviceAccount:{prober}"
    if has_role(policy, member, INVOKERS):
        return Readiness()
    command = f"gcloud projects add-iam-policy-binding {request.project} --member={member} --role={INVOKE.role}"
    return Readiness(
        notes=(f"The project's policy does not let {prober} call private services. If nothing else does: {command}",)
    )

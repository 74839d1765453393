"""Terraform's part of a run: init, what is adopted, the plan and who agrees to it, apply."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from prefect.logging import get_run_logger

from infra.gcp import apigateway, secrets
from infra.gcp.calls.errors import GoogleError
from infra.terraform.events import Kind, parse
from infra.terraform.plan import Plan, Resource
from infra.terraform.supervisor import StillRunning
from infra.terraform.work import TerraformFailed
from tasks.failures.cause import Cause
from tasks.failures.errors import UNTOUCHED, ProvisionFailed, ProvisionRefused, TookTooLong
from tasks.failures.explain import explain
from tasks.failures.redact import redact
from tasks.orchestration.approval import ask
from tasks.orchestration.step import step
from tasks.provision import adopt, progress
from tasks.provision.followed import newest_there
from tasks.provision.guard import Judgement
from tasks.provision.ledger import Ledger
from tasks.provision.left import how
from tasks.provision.look import SETTLED_AFTER_S, look, next_generation, versions_seen
from tasks.provision.progress import Progress
from tasks.provision.record import State, newest_generation, read_records
from tasks.provision.site import Site
from tasks.provision.wanted import KEPT_IN, generation_in, openapi_of, things, variables

DAY_S = 24 * 3600.0 + 3600.0  # backstop: each command has a deadline of its own
KEPT = "What was made stays, and is in the record of the run; the next run goes on from there."


@step("terraform init", timeout_s=DAY_S)
async def init(site: Site) -> None:
    """The module, with the state in the environment's bucket."""
    site.work.prepare()
    try:
        await site.work.init("" if site.is_new else site.bucket, site.prefix, lambda _: None)
    except TerraformFailed as error:
        raise _failure(site, error, UNTOUCHED) from error
    except StillRunning as error:
        raise _busy(site) from error


@step("name what is wanted", timeout_s=300)
async def named(site: Site, ledger: Ledger, fresh: Sequence[str] = ()) -> tuple[Site, Mapping[str, Resource]]:
    """With the generation that the key is to have; and what is in the state, by address."""
    state = await _state(site)
    if site.put_off and (openapi := openapi_of(state)):
        get_run_logger().info("the gateway that is there goes on serving what it serves")
        site = site.with_gateway_of(openapi)
    records = await read_records(site.bucket, site.request.app, site.request.environment)
    known = (generation_in(state), newest_generation(records), await newest_there(site.wanted))
    ledger.generation = max(known)
    next_one = ledger.generation + (1 if "key" in fresh else 0)
    now = site.with_generation(await next_generation(site.wanted, next_one))
    now.work.set_variables(variables(now.wanted))
    ledger.site = now
    return now, state


async def _state(site: Site) -> Mapping[str, Resource]:
    try:
        return await site.work.state()
    except TerraformFailed as error:
        raise _failure(site, error, UNTOUCHED) from error


@step("keep what was made and not read back", timeout_s=DAY_S)
async def keep_half_made(site: Site, state: Mapping[str, Resource], only_plans: bool) -> None:
    """Terraform would delete it, and make it anew: by a name that it may not have twice, or with its data lost."""
    for address in (each.address for each in state.values() if each.tainted):
        get_run_logger().warning("%s was made, but its reading failed: it is kept, and read now", address)
        if only_plans:
            continue
        try:
            await site.work.keep(address)
        except TerraformFailed as error:
            raise _failure(site, error, UNTOUCHED) from error


@step("see what is there", timeout_s=SETTLED_AFTER_S + 300)
async def adoptable(site: Site, in_state: Collection[str]) -> adopt.Adoption:
    """What is there, but not in the state. Raises ProvisionRefused where nobody may decide about it."""
    wanted = site.wanted
    unknown = adopt.to_look_for(things(wanted), in_state)
    found = [each for each in await look(things(wanted)) if each.thing in unknown]
    decided = adopt.decide(wanted, found, wanted.provision.adopt)
    for each in decided.own:
        get_run_logger().info("%s %s is there already: it is adopted", each.thing.kind, each.thing.name)
    if decided.others and wanted.provision.adopt != "ask":
        raise ProvisionRefused(
            "This is there already, and nothing says that it is this environment's:\n" + adopt.listed(decided.others),
            f"set environments.{wanted.environment}.provision.adopt to ask in slipway.yaml, and agree to it when the "
            "run asks; or give it another name there.",
            Cause.ALREADY_EXISTS,
        )
    return decided


@step("take away what could not be made", timeout_s=3 * SETTLED_AFTER_S)
async def clear(wrecks: Sequence[adopt.Found], only_plans: bool) -> None:
    """Google keeps it, FAILED and of no use to anybody, and a second one of its name cannot be made."""
    for each in reversed(wrecks):  # the gateway before its config, and that before the API
        name = each.thing.name
        get_run_logger().warning("%s %s could not be made: it is deleted, and made anew", each.thing.kind, name)
        if not only_plans:
            await apigateway.delete(name, SETTLED_AFTER_S)


async def adopt_what_is_there(site: Site, state: Mapping[str, Resource], ledger: Ledger) -> None:
    """Import blocks for it: what is ours, and what a person says is."""
    await keep_half_made(site, state, ledger.only_plans)
    moved = adopt.moved(things(site.wanted), state)
    found = await adoptable(site, {*state, *moved.values()})
    await clear(found.wrecks, ledger.only_plans)
    chosen = found.own
    if found.others and ledger.only_plans:
        get_run_logger().warning("a person would have to say whose this is:\n%s", adopt.listed(found.others))
    elif found.others:
        question = f"Is this {site.request.app}'s? It would be taken over and changed:\n\n{adopt.listed(found.others)}"
        await ask(question, "adopt", site.request.settings.approval_timeout_s, UNTOUCHED)
        chosen = (*chosen, *found.others)
    there = {*state, *moved.values(), *(each.thing.address for each in chosen)}
    imports = {**adopt.imports(chosen), **await kept_key(site, there)}
    site.work.set_imports(imports, moved)
    if not ledger.only_plans and site.wanted.provision.has_key:
        at, now = site.wanted.version_address, {moved.get(before, before): each for before, each in state.items()}
        await keep_once(site, imports.get(at) or str(now[at].values.get("name", "") if at in now else ""))
    if imports:
        await ledger.adopted(list(imports))


@step("see whether the key is kept", attempts=3)
async def kept_key(site: Site, there: Collection[str]) -> dict[str, str]:
    """The version of the secret that holds the key, if only Terraform does not know it: a second one is not made.

    Unless the caller may not read it, which Terraform, too, does with what it takes over.
    """
    wanted = site.wanted
    needed = {wanted.key_address, KEPT_IN}
    if not wanted.provision.has_key or wanted.version_address in there or not needed <= set(there):
        return {}
    try:
        seen = await versions_seen(wanted)
    except GoogleError as error:
        if error.status != "PERMISSION_DENIED":
            raise
        get_run_logger().warning("the key is kept once more, for without secretmanager.versions.access nobody can see")
        return {}
    return {wanted.version_address: seen[0].name} if seen else {}


@step("keep the key once", attempts=3)
async def keep_once(site: Site, known: str) -> None:
    """A provider that got no answer has added the version again: what nobody knows of holds the key all the same.

    known: the version that Terraform knows, or will; '' without one.
    """
    number = known.rpartition("/")[2]
    try:
        seen = await versions_seen(site.wanted) if number else []
        if number in {str(each.number) for each in seen}:
            for each in seen:
                if str(each.number) != number:
                    get_run_logger().warning("the key is kept twice: version %d is disabled", each.number)
                    await secrets.disable_version(each.name, each.etag)
    except GoogleError as error:
        get_run_logger().info("whether the key is kept twice cannot be seen: %s", redact(str(error)))


@step("terraform plan", timeout_s=DAY_S)
async def make_plan(site: Site, replace: Sequence[str] = (), *, destroy: bool = False) -> Plan:
    """Raises ProvisionFailed. Nothing is changed."""
    try:
        plan = await site.work.plan(_quietly, replace=replace, destroy=destroy)
    except TerraformFailed as error:
        raise _failure(site, error, UNTOUCHED) from error
    for change in plan.changes:
        get_run_logger().info("planned: %s %s", change.word, change.address)
    return plan


async def agree(site: Site, judged: Judgement, ledger: Ledger) -> None:
    """Raises ProvisionRefused for what is never done, NotApproved where a person says no."""
    if ledger.only_plans:
        for each in judged.refused:
            get_run_logger().warning("would be refused: %s", each)
        for each in judged.to_ask:
            get_run_logger().warning("a person would be asked: %s", each)
        return
    if judged.refused:
        site.work.drop_plan()
        raise ProvisionRefused(
            "The plan would do harm:\n" + "\n".join(f"- {each}" for each in judged.refused),
            "say in slipway.yaml what is there, or give what is wanted another name.",
        )
    if judged.to_ask:
        listed = "\n".join(f"- {each}" for each in judged.to_ask)
        question = f"May Terraform do this to {site.request.app} in {site.request.environment}?\n\n{listed}"
        await ask(question, "plan", site.request.settings.approval_timeout_s, UNTOUCHED)


async def apply(site: Site, plan: Plan, ledger: Ledger) -> None:
    """Raises ProvisionFailed, TookTooLong; the ledger knows what was made all the same. A run may only plan."""
    if plan.is_empty and not plan.outputs_change:
        ledger.ending = State.UNCHANGED
        site.work.drop_plan()
        get_run_logger().info("all is as it is to be: nothing to change")
        return
    ledger.progress = progress.planned(plan)
    if ledger.only_plans:
        ledger.ending = State.PLANNED
        site.work.drop_plan()
        return
    await ledger.applies()
    await _apply(site, ledger)


@step("terraform apply", timeout_s=DAY_S, state=KEPT)
async def _apply(site: Site, ledger: Ledger) -> None:
    heard = _telling(ledger)
    try:
        ended = await site.work.apply(heard)
    except StillRunning as error:
        raise _busy(site) from error
    finally:
        ledger.progress = ledger.progress.ended(ok=False)
    if ended.ok:
        ledger.progress = ledger.progress.ended(ok=True)
        return
    if site.work.errored.exists():
        raise ProvisionFailed(
            f"Terraform could not save its state in gs://{site.bucket}/{site.prefix}/.{_undone(ledger.progress)}",
            "see that the bucket can be written, then start the run again on this worker: it saves the state first.",
            Cause.SERVICE_UNAVAILABLE,
            state=f"{KEPT} The state is kept in {site.work.errored}.",
        )
    if ended.reason == "deadline":
        raise TookTooLong(
            f"Terraform took longer than {site.work.limits.apply_s:g} s.{_undone(ledger.progress)}",
            f"environments.{site.request.environment}.provision.timeouts.apply in slipway.yaml says how long it may "
            "take; start the run again: it goes on where this one ended.",
            state=KEPT,
        )
    raise _undone_failure(ledger.progress, how(ended))


def _telling(ledger: Ledger) -> Callable[[str], None]:
    def heard(line: str) -> None:
        event = parse(line)
        ledger.progress = ledger.progress.heard(event)
        if said := progress.line(event):
            log = get_run_logger()
            (log.error if event.is_error else log.info)("%s", said)

    return heard


def _quietly(line: str) -> None:
    """What a plan says line by line only matters where it is wrong."""
    event = parse(line)
    if event.kind is Kind.DIAGNOSTIC:
        get_run_logger().warning("%s", progress.line(event))


def _undone(known: Progress) -> str:
    names = [each.address for each in known.undone]
    return f" Not done: {', '.join(names)}." if names else ""


def _undone_failure(known: Progress, ended: str) -> ProvisionFailed:
    """What each resource's provider said, explained."""
    failed = [(each.address, each.error) for each in known.undone if each.error]
    said = [*failed, *(("", error) for error in known.errors)]
    if not said:
        return ProvisionFailed(f"Terraform has ended, {ended}.{_undone(known)}")
    explained = [(where, error, explain(error)) for where, error in said]
    lines = [f"- {where}{': ' if where else ''}{what.problem} ({error})" for where, error, what in explained]
    first = explained[0][2]
    return ProvisionFailed(
        f"{len(known.done)} resources were made or changed, {len(known.undone)} not:\n" + "\n".join(lines),
        f"{first.remedy.rstrip('.')}. Then start the run again: it goes on where this one ended.",
        first.cause,
        first.link,
        KEPT,
    )


def _failure(site: Site, error: TerraformFailed, state: str) -> ProvisionFailed | TookTooLong:
    if error.ended.reason == "deadline":
        limit = "plan" if error.name == "plan" else "init"  # which is also that of what takes no time
        place = f"environments.{site.request.environment}.provision.timeouts.{limit}"
        return TookTooLong(
            f"terraform {error.name} took longer than it may.", f"{place} in slipway.yaml says how long.", state=state
        )
    found = explain(redact(str(error)))
    return ProvisionFailed(redact(str(error)), found.remedy, found.cause, found.link, state)


def _busy(site: Site) -> ProvisionRefused:
    return ProvisionRefused(
        f"Terraform is at work on this machine already, in {site.work.folder}.", cause=Cause.STATE_LOCK
    )

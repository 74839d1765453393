"""Revisions: how one is stamped out of a template, and when a template asks for a new one; of services and pools."""

from __future__ import annotations

import uuid
from typing import Any

from google.api.launch_stage_pb2 import LaunchStage
from google.cloud import run_v2

from infra.emulator.kernel.errors import already_exists
from infra.emulator.run.conditions import Failure, State, condition, log_uri
from infra.emulator.run.names import etag, generated_revision, owner_of, short
from infra.emulator.run.state import RevisionPb
from infra.emulator.run.state import State as RunState

_TEMPLATE = run_v2.RevisionTemplate.pb().DESCRIPTOR
# What a template and a revision both have is the revision's configuration.
CONFIGURATION = sorted(set(_TEMPLATE.fields_by_name) & set(RevisionPb.DESCRIPTOR.fields_by_name))
HEALTH = ("Ready", "ContainerReady", "ContainerHealthy", "ResourcesAvailable")


def configuration(message: Any) -> Any:
    """The configuration of a template or a revision, as a revision that holds nothing else."""
    bare = RevisionPb()
    for name in CONFIGURATION:
        field = message.DESCRIPTOR.fields_by_name.get(name)
        if field is None or (field.has_presence and not message.HasField(name)):  # a pool's template has fewer
            continue
        value = getattr(message, name)
        if field.is_repeated:
            getattr(bare, name).MergeFrom(value)
        elif field.message_type is None:
            setattr(bare, name, value)
        else:
            getattr(bare, name).CopyFrom(value)
    return bare


def revision_for(state: RunState, owner: Any, principal: str, *, anew: bool = False) -> Any:
    """The revision that the owner's template stands for: one that exists, or a new one that is not stored yet.

    anew: one that nobody has named is made although the template has not changed.

    Raises ALREADY_EXISTS when the template names a revision that has another configuration.
    """
    wanted = state.revisions.get(state.wanted(owner.name))
    template, name = owner.template, owner_of(owner.name)
    config = configuration(template)
    named = wanted is not None and template.revision == short(wanted.name)
    if (named or not (template.revision or anew)) and wanted is not None and configuration(wanted) == config:
        return wanted
    if not template.revision:
        revision = generated_revision(name.id, state.made(owner.name) + 1)
        return stamp(owner, config, name.revision(revision), principal)
    existing = state.revisions.get(name.revision(template.revision))
    if existing is None:
        return stamp(owner, config, name.revision(template.revision), principal)
    if configuration(existing) != config:
        raise already_exists(f"Revision named '{template.revision}' with different configuration already exists.")
    return existing


def stamp(owner: Any, config: Any, name: str, principal: str) -> Any:
    """A new revision, not ready yet."""
    revision = RevisionPb(
        name=name,
        uid=str(uuid.uuid4()),
        generation=1,
        service=short(owner.name),
        launch_stage=LaunchStage.GA,
        reconciling=True,
        creator=principal,
        log_uri=log_uri(owner_of(name), short(name)),
    )
    revision.MergeFrom(config)
    revision.create_time.GetCurrentTime()
    revision.update_time.CopyFrom(revision.create_time)
    revision.conditions.extend(condition(kind, State.CONDITION_PENDING) for kind in HEALTH)
    revision.scaling_status.desired_min_instance_count = revision.scaling.min_instance_count
    revision.etag = etag(revision)
    return revision


def is_ready(revision: Any) -> bool:
    return any(c.type_ == "Ready" and c.state == State.CONDITION_SUCCEEDED for c in revision.conditions)


def failure_of(revision: Any) -> Failure | None:
    """Why the revision is not ready; None if it is, or may still become so."""
    for ready in revision.conditions:
        if ready.type_ == "Ready" and ready.state == State.CONDITION_FAILED:
            return Failure(ready.message, ready.reason, ready.revision_reason)
    return None


def finish(revision: Any, failure: Failure | None) -> None:
    """Writes into the revision how its start ended."""
    state = State.CONDITION_SUCCEEDED if failure is None else State.CONDITION_FAILED
    del revision.conditions[:]
    for kind in HEALTH:
        decided = kind != "ResourcesAvailable"
        revision.conditions.append(
            condition(kind, state, failure) if decided else condition(kind, State.CONDITION_SUCCEEDED)
        )
    revision.observed_generation = revision.generation
    revision.ClearField("reconciling")


def set_active(revision: Any, active: bool) -> bool:
    """Writes into the revision whether requests may reach it; False if that was known."""
    state = State.CONDITION_SUCCEEDED if active else State.CONDITION_FAILED
    known = next((c for c in revision.conditions if c.type_ == "Active"), None)
    if known is not None and known.state == state:
        return False
    if known is not None:
        revision.conditions.remove(known)
    added = condition("Active", state)
    added.severity = run_v2.Condition.Severity.INFO
    if not active:
        added.revision_reason = run_v2.Condition.RevisionReason.RETIRED
        added.message = "Revision retired."
    revision.conditions.append(added)
    return True

"""What Terraform asks a provider, and what is answered: one method for each RPC."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from infra.emulator.terraform.client import Cloud, Half, Problem
from infra.emulator.terraform.kinds.resource import Resource, known, placed
from infra.emulator.terraform.planning import Path, label, planned, replacing
from infra.emulator.terraform.schema import Block, Nested, State, hollow, schema_of
from infra.emulator.terraform.wire import ERROR, UNKNOWN, M, pack, unpack


class Provider:
    """`legacy_type_system` stands in every plan and apply, as the older SDK's does: Terraform then accepts what is not
    word for word what it has asked for, such as null for an empty map."""

    def __init__(self, configuration: Block, resources: Mapping[str, Resource], cloud: Cloud) -> None:
        self._configuration, self._resources, self._cloud = configuration, resources, cloud

    def GetSchema(self, _: Any) -> Any:  # noqa: N802
        bare = Block(self._configuration.fields, timeouts=())
        answer = M["SchemaAnswer"](provider=schema_of(bare))
        for name, each in self._resources.items():
            answer.resource_schemas[name].CopyFrom(schema_of(each.block))
        answer.server_capabilities.get_provider_schema_optional = True
        return answer

    def PrepareProviderConfig(self, request: Any) -> Any:  # noqa: N802
        return M["PrepareAnswer"](prepared_config=request.config)

    def ValidateDataSourceConfig(self, _: Any) -> Any:  # noqa: N802
        return M["Told"]()

    def ReadDataSource(self, _: Any) -> Any:  # noqa: N802
        return M["DataAnswer"]()

    def Stop(self, _: Any) -> Any:  # noqa: N802
        """What is under way goes on to its end: an operation that is left is a resource that is lost."""
        return M["StopAnswer"]()

    def Configure(self, request: Any) -> Any:  # noqa: N802
        config = unpack(request.config) or {}
        self._cloud.configure({name: None if value is UNKNOWN else value for name, value in config.items()})
        return M["Told"]()

    def ValidateResourceTypeConfig(self, request: Any) -> Any:  # noqa: N802
        answer, block = M["Told"](), self._resources[request.type_name].block
        for path, summary, detail in _faults(block, unpack(request.config) or {}, ()):
            told = answer.diagnostics.add(severity=ERROR, summary=summary, detail=detail)
            told.attribute.CopyFrom(_path(path))
        return answer

    def UpgradeResourceState(self, request: Any) -> Any:  # noqa: N802
        """Of a state that another version wrote, what is known here."""
        before = json.loads(request.raw_state.json)
        empty = hollow(self._resources[request.type_name].block)
        state = {name: before[name] if before.get(name) is not None else value for name, value in empty.items()}
        return M["UpgradeAnswer"](upgraded_state=pack(state))

    def ReadResource(self, request: Any) -> Any:  # noqa: N802
        answer, state = M["ReadAnswer"](private=request.private), unpack(request.current_state)
        resource = self._resources[request.type_name]
        try:
            answer.new_state.CopyFrom(_state(resource.block, state, resource.read(self._cloud, state)))
        except Problem as problem:
            answer.new_state.CopyFrom(request.current_state)
            what = f'{request.type_name.removeprefix("google_").title().replace("_", "")} "{state.get("id")}"'
            answer.diagnostics.add(severity=ERROR, summary=f"Error when reading or editing {what}: {problem}")
        return answer

    def PlanResourceChange(self, request: Any) -> Any:  # noqa: N802
        answer = M["PlanAnswer"](legacy_type_system=True, planned_private=request.prior_private)
        prior, wanted = unpack(request.prior_state), unpack(request.proposed_new_state)
        if wanted is None:
            answer.planned_state.CopyFrom(request.proposed_new_state)
            return answer
        block = self._resources[request.type_name].block
        state = planned(block, prior, wanted)
        for name, own in placed(self._cloud, block, state).items():
            if state[name] is UNKNOWN and own:  # of the provider
                state[name] = own
        if "effective_labels" in block.fields:
            label(state, prior, self._cloud.labels, attribution=self._cloud.attribution)
        if prior is not None:
            answer.requires_replace.extend(map(_path, replacing(block, prior, state)))
        answer.planned_state.CopyFrom(pack(state))
        return answer

    def ApplyResourceChange(self, request: Any) -> Any:  # noqa: N802
        answer = M["ApplyAnswer"](legacy_type_system=True, private=request.planned_private)
        prior, wanted = unpack(request.prior_state), unpack(request.planned_state)
        resource = self._resources[request.type_name]
        try:
            new = self._applied(resource, prior, wanted, unpack(request.config) or {})
            answer.new_state.CopyFrom(_state(resource.block, wanted, new))
        except Half as problem:  # of what was made Terraform says that it is tainted
            answer.new_state.CopyFrom(_state(resource.block, wanted, problem.state))
            answer.diagnostics.add(severity=ERROR, summary=str(problem))
        except Problem as problem:
            answer.new_state.CopyFrom(request.prior_state)
            answer.diagnostics.add(severity=ERROR, summary=str(problem))
        return answer

    def _applied(self, resource: Resource, prior: State | None, wanted: State | None, config: State) -> State | None:
        """What is read back in the end, as everything is after a change."""
        if wanted is None:
            resource.delete(self._cloud, prior or {})
            return None
        if prior is None:
            own = placed(self._cloud, resource.block, wanted)
            if missing := [name for name, value in own.items() if not value]:
                raise Problem(f"{missing[0]}: required field is not set")
            state = resource.create(self._cloud, {**known(wanted), **own}, config)
        else:
            state = {name: prior.get(name) if value is UNKNOWN else value for name, value in wanted.items()}
            resource.update(self._cloud, prior, state)
        try:
            read = resource.read(self._cloud, state)
        except Problem as problem:
            raise Half(state, problem) from problem
        if read is None:
            raise Problem(f"{resource.kind} was made or changed, and is not there")
        return read

    def ImportResourceState(self, request: Any) -> Any:  # noqa: N802
        answer, resource = M["ImportAnswer"](), self._resources[request.type_name]
        try:
            state = hollow(resource.block) | resource.locate(self._cloud, request.id)
            answer.imported_resources.add(type_name=request.type_name, state=pack(state))
        except (Problem, ValueError) as problem:
            answer.diagnostics.add(severity=ERROR, summary=str(problem))
        return answer


def _state(block: Block, asked: State | None, new: State | None) -> Any:
    """Whole, so that Terraform's type checks pass; time-outs are nobody's but the configuration's."""
    if new is None:
        return pack(None)
    fields = hollow(block)
    whole = {name: new.get(name, empty) for name, empty in fields.items()}
    whole |= {name: [] for name, each in block.fields.items() if isinstance(each, Nested) and whole[name] is None}
    return pack({**whole, **({"timeouts": (asked or {}).get("timeouts")} if block.timeouts else {})})


def _path(path: Path) -> Any:
    steps = [M["Step"](**{"element_key_int" if isinstance(p, int) else "attribute_name": p}) for p in path]
    return M["Path"](steps=steps)


def _faults(block: Block, config: Mapping[str, Any], at: Path) -> Iterator[tuple[Path, str, str]]:
    """Where, what, and in detail: in the words of the SDK that the real provider is built with."""

    def given(name: str) -> bool:
        return config.get(name) not in (None, [], "")

    for group in block.one_of:
        if sum(map(given, group)) != 1:
            names = ",".join(".".join([*_dotted(at), name]) for name in group)
            said = "one of" if not any(map(given, group)) else "only one of"
            yield (
                at or (group[0],),
                "Invalid combination of arguments",
                f'"{group[0]}": {said} `{names}` must be specified',
            )
    for group in block.together:
        if any(map(given, group)) and not all(map(given, group)):
            yield (
                at or (group[0],),
                "Missing required argument",
                f'"{group[0]}": all of `{",".join(group)}` must be specified',
            )
    for name, field in block.fields.items():
        if isinstance(field, Nested) and isinstance(config.get(name), list):
            for index, item in enumerate(config[name]):
                if isinstance(item, dict):
                    yield from _faults(field.block, item, (*at, name, index))


def _dotted(path: Path) -> list[str]:
    return [str(part) for part in path]

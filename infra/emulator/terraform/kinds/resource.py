"""What every resource can do, and the most usual way to do it: one collection with POST, GET, PATCH and DELETE."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from infra.emulator.terraform.client import Cloud, Problem, seconds
from infra.emulator.terraform.planning import normal
from infra.emulator.terraform.schema import Block, Nested, State
from infra.emulator.terraform.wire import UNKNOWN

PREVENTED = 'cannot destroy {} without setting deletion_policy="DELETE" and running `terraform apply`'


class Resource(Protocol):
    """States are whole: every field of the block.

    `create` is given its project and region; it answers what `read` needs, and raises Problem where nothing was made.
    `read` answers None for what is not there.
    """

    @property
    def kind(self) -> str: ...
    @property
    def block(self) -> Block: ...
    def create(self, cloud: Cloud, state: State, config: State) -> State: ...
    def read(self, cloud: Cloud, state: State) -> State | None: ...
    def update(self, cloud: Cloud, prior: State, state: State) -> None: ...
    def delete(self, cloud: Cloud, state: State) -> None: ...
    def locate(self, cloud: Cloud, text: str) -> State: ...


@dataclass(frozen=True)
class Rest:
    """path: of the collection, with fields of the state in braces; `key` is the last part of a name.

    body: what is sent when it is made; mask: what can be changed. Both are names of fields. waits: its changes are
    operations. kept: what is not read back. looks_first: asks whether it is there before it is made. more: what a plain
    reading does not tell.
    """

    kind: str
    title: str  # as the provider's errors say it
    block: Block
    base: str
    path: str
    key: str
    parameter: str
    body: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    waits: bool = True
    kept: tuple[str, ...] = ()
    view: Mapping[str, str] | None = None
    looks_first: bool = False
    more: Callable[[Cloud, str, Mapping[str, Any]], State] | None = None

    def name(self, cloud: Cloud, state: State) -> str:
        return f"{self.path}/{{{self.key}}}".format(**{**state, **placed(cloud, self.block, state)})

    def create(self, cloud: Cloud, state: State, _config: State) -> State:
        """An operation that does not end well leaves nothing in the state, as with the real provider."""
        collection, query = self.path.format(**state), {self.parameter: state[self.key]}
        if self.looks_first and self.read(cloud, state):
            raise Problem(f"Error creating {self.title}: Resource already exists - apply blocked by lifecycle params")
        try:
            sent = to_api(self.block, labelled(state), self.body)
            answer = cloud.call("POST", f"{self.base}/{collection}", sent, query)
        except Problem as problem:
            raise Problem(f"Error creating {self.title}: {problem}", problem.code) from problem
        try:
            self._settle(cloud, answer, state, "create")
        except Problem as problem:
            raise Problem(f"Error waiting to create {self.title}: {problem}") from problem
        return {**state, "id": self.name(cloud, state)}

    def read(self, cloud: Cloud, state: State) -> State | None:
        name = self.name(cloud, state)
        body = cloud.get(f"{self.base}/{name}", self.view)
        if body is None or body.get("deleteTime"):
            return None
        read = from_api(self.block, body)
        for field, each in self.block.fields.items():
            stays = field in self.kept or field == self.key or f"{{{field}}}" in self.path
            if stays or (not getattr(each, "computed", False) and not read[field]):
                read[field] = state.get(field)
        read |= {"id": name, **placed(cloud, self.block, state), **policy(self.block, state)}
        read |= labels_read(self.block, state, body)
        return {**read, **self.more(cloud, f"{self.base}/{name}", body)} if self.more else read

    def update(self, cloud: Cloud, prior: State, state: State) -> None:
        fields = [name for name in self.mask if normal(labelled(prior).get(name)) != normal(labelled(state).get(name))]
        if fields:
            query = {"updateMask": ",".join(map(camel, fields))}
            url = f"{self.base}/{self.name(cloud, state)}"
            try:
                answer = cloud.call("PATCH", url, to_api(self.block, labelled(state), fields), query)
                self._settle(cloud, answer, state, "update")
            except Problem as problem:
                raise Problem(f"Error updating {self.title} {url!r}: {problem}", problem.code) from problem

    def delete(self, cloud: Cloud, state: State) -> None:
        if not may_delete(self.title, state):
            return
        try:
            answer = cloud.call("DELETE", f"{self.base}/{self.name(cloud, state)}")
            self._settle(cloud, answer, state, "delete")
        except Problem as problem:
            if problem.code != 404:
                raise Problem(f"Error when reading or editing {self.title}: {problem}", problem.code) from problem

    def _settle(self, cloud: Cloud, answer: Mapping[str, Any], state: State, doing: str) -> None:
        if self.waits:
            cloud.wait(self.base, answer, seconds((state.get("timeouts") or {}).get(doing)))

    def locate(self, cloud: Cloud, text: str) -> State:
        return parts_of(text, f"{self.path}/{{{self.key}}}", cloud)


def parts_of(text: str, pattern: str, cloud: Cloud) -> State:
    """An import's id: the whole name, or its parts alone, of which the first may be left to the provider.

    Raises Problem with the provider's words.
    """
    names = re.findall(r"\{(\w+)\}", pattern)
    whole = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(pattern))
    if match := re.fullmatch(whole, text):
        return dict(match.groupdict())
    given = text.split("/")
    own = {"project": cloud.project, "region": cloud.region}
    missing = names[: len(names) - len(given)]
    if 0 < len(given) <= len(names) and all(given) and all(own.get(name) for name in missing):
        return {**{name: own[name] for name in missing}, **dict(zip(names[len(missing) :], given, strict=True))}
    short = ", ".join("/".join(f"{{{{{name}}}}}" for name in names[start:]) for start in range(len(names)))
    raise Problem(f'Import id "{text}" doesn\'t match any of the accepted formats: {pattern}, {short}')


def placed(cloud: Cloud, block: Block, state: Mapping[str, Any]) -> State:
    """Project and region, of the resource or else of the provider."""
    own = {"project": cloud.project, "region": cloud.region}
    given = {name: state.get(name) for name in own if name in block.fields}
    return {
        name: value.removeprefix("projects/") if isinstance(value, str) else own[name] for name, value in given.items()
    }


def known(state: Mapping[str, Any]) -> State:
    """Without what was not known when it was planned: the cloud says it now."""
    return {name: None if value is UNKNOWN else value for name, value in state.items()}


def policy(block: Block, state: Mapping[str, Any]) -> State:
    if "deletion_policy" not in block.fields:
        return {}
    given = state.get("deletion_policy")
    return {"deletion_policy": given if isinstance(given, str) else "DELETE"}


def may_delete(title: str, state: Mapping[str, Any]) -> bool:
    """False: it is only forgotten. Raises Problem where it must stay."""
    if state.get("deletion_policy") == "PREVENT":
        raise Problem(PREVENTED.format(title))
    return state.get("deletion_policy") != "ABANDON"


def labelled(state: State) -> State:
    """The labels that are sent are all that there will be."""
    return {**state, "labels": state["effective_labels"]} if "effective_labels" in state else state


def labels_read(block: Block, state: Mapping[str, Any], body: Mapping[str, Any]) -> State:
    """Of its own labels a resource looks at those alone that it has set."""
    if "effective_labels" not in block.fields:
        return {}
    there = body.get("labels") or {}
    own = {name: state.get(name) for name in ("labels", "terraform_labels")}
    shown = {n: None if v is None else {key: there[key] for key in v if key in there} for n, v in own.items()}
    return {**shown, "effective_labels": there}


def camel(name: str) -> str:
    return "automatic" if name == "auto" else re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def to_api(block: Block, state: Mapping[str, Any], names: Any) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in names:
        field, value = block.fields[name], state.get(name)
        if value in (None, "", [], {}) or value is UNKNOWN:
            continue
        if isinstance(field, Nested):
            items = [to_api(field.block, item or {}, field.block.fields) for item in value]
            value = items[0] if field.single else items
        out[camel(name)] = value
    return out


def from_api(block: Block, body: Mapping[str, Any]) -> State:
    out: State = {}
    for name, field in block.fields.items():
        value = body.get(camel(name))
        if isinstance(field, Nested):
            items = [value] if isinstance(value, dict) else value or []
            value = [from_api(field.block, item) for item in items]
        out[name] = value
    return out

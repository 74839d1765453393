"""One member of one role of something: its policy is read, changed and written back under its etag."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.emulator.terraform.client import Cloud, Problem
from infra.emulator.terraform.kinds.resource import placed
from infra.emulator.terraform.schema import ID, Attribute, Block, Nested, State, computed, new, optional

TRIES = 8
CONDITION = Nested(
    Block({"description": optional(force_new=True), "expression": new(), "title": new()}), single=True, force_new=True
)
Bindings = list[dict[str, Any]]


def folded(member: str) -> str:
    """Members are compared without case but for principals: https://cloud.google.com/iam/docs/principal-identifiers."""
    return member if member.startswith("principal") else member.lower()


@dataclass(frozen=True)
class IamMember:
    """url: of what has the policy; holder: the field that names it. reads: the verb that asks for a policy."""

    kind: str
    url: str
    holder: str
    place: Mapping[str, Attribute]  # the fields that say where
    reads: str = "POST"

    @property
    def block(self) -> Block:
        fields: dict[str, Attribute | Nested] = {
            "role": new(),
            "member": new(fold=folded),
            "condition": CONDITION,
            "etag": computed(),
        }
        return Block({**ID, **self.place, **fields}, timeouts=())

    def _at(self, cloud: Cloud, state: State) -> str:
        return self.url.format(**{**state, **placed(cloud, self.block, state)})

    def _policy(self, cloud: Cloud, at: str) -> dict[str, Any]:
        """As version 3, without which conditions are left out."""
        if self.reads == "GET":
            return cloud.call("GET", f"{at}:getIamPolicy", query={"options.requestedPolicyVersion": "3"})
        return cloud.call("POST", f"{at}:getIamPolicy", {"options": {"requestedPolicyVersion": 3}})

    def _change(self, cloud: Cloud, state: State, edit: Callable[[Bindings], None]) -> dict[str, Any]:
        at = self._at(cloud, state)
        with cloud.turn(at):
            for attempt in range(TRIES):
                policy = self._policy(cloud, at)
                edit(policy.setdefault("bindings", []))
                try:
                    return cloud.call("POST", f"{at}:setIamPolicy", {"policy": {**policy, "version": 3}})
                except Problem as problem:
                    if problem.code != 409:
                        raise Problem(f"Error applying IAM policy for {at}: {problem}", problem.code) from problem
                time.sleep(0.1 * 2**attempt)
        raise Problem(f"Error applying IAM policy for {at}: Too many conflicts. Latest error: 409")

    def create(self, cloud: Cloud, state: State, _config: State) -> State:
        def edit(bindings: Bindings) -> None:
            binding = _binding(bindings, state)
            if binding is None:
                condition = {name: value for name, value in (state["condition"] or [{}])[0].items() if value}
                binding = {"role": state["role"], "members": []} | ({"condition": condition} if condition else {})
                bindings.append(binding)
            if state["member"] not in binding["members"]:
                binding["members"].append(state["member"])

        return self._shown(cloud, state, self._change(cloud, state, edit))

    def _shown(self, cloud: Cloud, state: State, policy: Mapping[str, Any]) -> State:
        where = {**state, **placed(cloud, self.block, state)}
        title = [each["title"] for each in state.get("condition") or ()]
        name = "/".join([where[self.holder], state["role"], state["member"], *title])
        return {**where, "id": name, "etag": policy.get("etag"), "condition": state.get("condition") or []}

    def read(self, cloud: Cloud, state: State) -> State | None:
        try:
            policy = self._policy(cloud, self._at(cloud, state))
        except Problem as problem:
            if problem.code == 404:
                return None
            raise
        binding = _binding(policy.get("bindings", []), state)
        held = binding is not None and folded(state["member"]) in map(folded, binding.get("members", ()))
        return self._shown(cloud, state, policy) if held else None

    def update(self, cloud: Cloud, _prior: State, state: State) -> None:
        """Every change makes another member."""

    def delete(self, cloud: Cloud, state: State) -> None:
        def edit(bindings: Bindings) -> None:
            binding = _binding(bindings, state)
            if binding is not None and state["member"] in binding["members"]:
                binding["members"].remove(state["member"])
            bindings[:] = [each for each in bindings if each.get("members")]

        try:
            self._change(cloud, state, edit)
        except Problem as problem:
            if problem.code != 404:
                raise

    def locate(self, cloud: Cloud, text: str) -> State:
        """`HOLDER ROLE MEMBER`, and the title of a condition, which may have spaces."""
        holder, role, member, *title = [*text.split(" ", 3)]
        state = {self.holder: holder, "role": role, "member": member, "condition": []}
        if title:
            raise Problem(f'Import id "{text}": a binding with a condition cannot be imported here')
        return {**state, **{k: v for k, v in placed(cloud, self.block, state).items() if k != self.holder}}


def _binding(bindings: Bindings, state: State) -> dict[str, Any] | None:
    """The one of the same role and condition."""
    wanted = (state.get("condition") or [{}])[0]
    same = [
        each
        for each in bindings
        if each["role"] == state["role"]
        and {n: v for n, v in (each.get("condition") or {}).items() if v} == {n: v for n, v in wanted.items() if v}
    ]
    return same[0] if same else None

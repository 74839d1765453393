"""Substitution of `$NAME` and `${NAME}` in a build request.

https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.cloud.devtools import cloudbuild_v1

from infra.emulator.kernel.errors import RpcError, invalid

BuildPb: Any = cloudbuild_v1.Build.pb()

PARAMETER = re.compile(r"\$(?:(?P<escape>\$)|\{(?P<braced>[A-Z_][A-Z0-9_]*)\}|(?P<bare>[A-Z_][A-Z0-9_]*))")
USER_KEY = re.compile(r"_[A-Z0-9_]+")
# Always set by Cloud Build.
BUILT_IN = {"PROJECT_ID", "PROJECT_NUMBER", "BUILD_ID", "LOCATION", "SERVICE_ACCOUNT", "SERVICE_ACCOUNT_EMAIL"}
# Set by triggers; empty otherwise, unless the request gives them.
OVERRIDABLE = {
    "REPO_NAME", "REPO_FULL_NAME", "BRANCH_NAME", "TAG_NAME", "REF_NAME", "REVISION_ID", "COMMIT_SHA", "SHORT_SHA",
    "TRIGGER_NAME", "TRIGGER_BUILD_CONFIG_PATH",
}  # fmt: skip


def substitute(build: BuildPb, built_in: Mapping[str, str]) -> None:
    """Replaces every parameter in place; unknown ones become empty. `$$` is an escaped `$`.

    With dynamicSubstitutions the values' own parameters are replaced first.
    """
    values = {**built_in, **build.substitutions}
    if build.options.dynamic_substitutions:
        for key, value in build.substitutions.items():
            values[key] = build.substitutions[key] = _expanded(value, values)
    _rewrite(build, lambda text: _expanded(text, values))


def _expanded(text: str, values: Mapping[str, str]) -> str:
    def replacement(match: re.Match[str]) -> str:
        return "$" if match["escape"] else values.get(match["braced"] or match["bare"], "")

    return PARAMETER.sub(replacement, text)


def check(build: BuildPb) -> None:
    """Raises INVALID_ARGUMENT for ill-formed keys, unknown parameters and, unless loose, for unmatched ones."""
    for key in build.substitutions:
        if not USER_KEY.fullmatch(key) and key not in OVERRIDABLE:
            raise _refused(
                f'substitution key "{key}" does not respect format "^_[A-Z0-9_]+$" and is not an overridable '
                "built-in substitution"
            )
    used = set(_parameters(build))
    for key in sorted(used - set(build.substitutions) - BUILT_IN - OVERRIDABLE):
        if not USER_KEY.fullmatch(key):
            raise _refused(f'key in the template "{key}" is not a valid built-in substitution')
        if not _loose(build):
            raise _refused(f'key in the template "{key}" is not matched in the substitution data')
    if not _loose(build):
        for key in sorted(set(build.substitutions) - used):
            raise _refused(f'key "{key}" in the substitution data is not matched in the template')


def _loose(build: BuildPb) -> bool:
    options = build.options
    mapped = options.automap_substitutions or any(step.automap_substitutions for step in build.steps)
    return bool(mapped or options.substitution_option == cloudbuild_v1.BuildOptions.SubstitutionOption.ALLOW_LOOSE)


def _refused(problem: str) -> RpcError:
    return invalid(f"invalid value for 'build.substitutions': {problem}")


def _parameters(build: BuildPb) -> Iterator[str]:
    copy = BuildPb()
    copy.CopyFrom(build)
    found: list[str] = []

    def note(text: str) -> str:
        found.extend(match["braced"] or match["bare"] for match in PARAMETER.finditer(text) if not match["escape"])
        return text

    _rewrite(copy, note)
    yield from found


def _rewrite(build: BuildPb, change: Callable[[str], str]) -> None:
    """Applies `change` to every field in which Cloud Build substitutes. A step's `script` is not one of them."""
    for step in build.steps:
        for name in ("name", "dir_", "entrypoint"):
            setattr(step, name, change(getattr(step, name)))
        for repeated in (step.args, step.env):
            repeated[:] = [change(text) for text in repeated]
    for repeated in (build.images, build.tags, build.options.env):
        repeated[:] = [change(text) for text in repeated]
    for name in ("logs_bucket", "service_account"):
        setattr(build, name, change(getattr(build, name)))
    for secret in build.available_secrets.secret_manager:
        secret.version_name = change(secret.version_name)

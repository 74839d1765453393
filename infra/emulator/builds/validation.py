"""What Cloud Build refuses before a build exists. Limits: https://cloud.google.com/build/quotas#resource_limits"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code

from infra.emulator.builds import substitutions
from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.kernel.errors import RpcError, invalid

START = "-"  # in waitFor: do not wait for anything
MAX_STEPS = 300
MAX_ARGS = 100
MAX_ARG_LENGTH = 10_000
MAX_IMAGES = 100
MAX_TIMEOUT_S = 24 * 3600


def check(build: BuildPb) -> None:
    """Raises INVALID_ARGUMENT with Cloud Build's own wording for the first thing that is wrong."""
    if not build.steps:
        raise _refused("invalid .steps field: no build steps are specified")
    if len(build.steps) > MAX_STEPS:
        raise _refused(f"invalid .steps field: cannot specify more than {MAX_STEPS} build steps")
    _check_duration(build.timeout, "invalid timeout")
    for index, step in enumerate(build.steps):
        _check_step(index, step, build.timeout)
    _check_graph(build)
    if len(build.images) > MAX_IMAGES:
        raise _refused(f"invalid .artifacts field: cannot specify more than {MAX_IMAGES} images to build")
    if build.images and build.artifacts.images and list(build.images) != list(build.artifacts.images):
        raise _refused("invalid .artifacts field: cannot specify different .images and .artifacts.images")
    _check_secrets(build)
    _check_pool(build)
    substitutions.check(build)


def _refused(problem: str) -> RpcError:
    return invalid(f"invalid build: {problem}")


def _check_duration(duration: Duration, what: str) -> None:
    if not 0 <= duration.seconds <= MAX_TIMEOUT_S:
        raise _refused(f"{what}: must be between 0 and {MAX_TIMEOUT_S}s")


def _check_step(index: int, step: BuildPb, build_timeout: Duration) -> None:
    where = "invalid .steps field: build step"
    if not step.name:
        raise _refused(f"{where} {index} must specify name")
    if len(step.args) > MAX_ARGS:
        raise _refused(f"{where} {index} too many args (max: {MAX_ARGS})")
    for position, arg in enumerate(step.args):
        if len(arg) > MAX_ARG_LENGTH:
            raise _refused(f"{where} {index} arg {position} too long (max: {MAX_ARG_LENGTH})")
    if step.script and (step.args or step.entrypoint):
        raise _refused(f"{where} {index} cannot specify script together with args or entrypoint")
    for entry in step.env:
        if "=" not in entry:
            raise _refused(f'{where} #{index} - "{step.id}": the Env entry "{entry}" must be of the form "KEY=VALUE"')
    _check_duration(step.timeout, f"invalid .timeout in build step #{index}")
    if build_timeout.seconds and step.timeout.seconds > build_timeout.seconds:
        raise _refused(
            f"invalid .timeout in build step #{index}: build step timeout {step.timeout.seconds}s must be <= "
            f"build timeout {build_timeout.seconds}s"
        )


def _check_graph(build: BuildPb) -> None:
    known = {START}
    for index, step in enumerate(build.steps):
        label = f'build step #{index} - "{step.id}"' if step.id else f"build step #{index}"
        for dependency in step.wait_for:
            if dependency not in known:
                raise _refused(f'invalid .steps field: {label} depends on "{dependency}", which has not been defined')
        if step.id in known:
            raise _refused(f"invalid .steps field: {label}: the ID is not unique")
        if step.id:
            known.add(step.id)


def _check_secrets(build: BuildPb) -> None:
    defined = {secret.env for secret in build.available_secrets.secret_manager}
    for index, step in enumerate(build.steps):
        for name in [*step.secret_env, *build.options.secret_env]:
            if name not in defined:
                raise _refused(
                    f'invalid .secrets field: build step #{index} uses the secretEnv "{name}" without it being '
                    "defined in .availableSecrets"
                )


def _check_pool(build: BuildPb) -> None:
    """There are no private pools here, so none can be built in.

    https://cloud.google.com/build/docs/private-pools/run-builds-in-private-pool
    """
    if pool := build.options.pool.name:
        raise RpcError(Code.NOT_FOUND, f"workerpool {pool} not found")


def dependencies(build: BuildPb) -> list[set[int]]:
    """For each step, the indices of those it waits for: the named ones, or without names all before it."""
    by_id = {step.id: index for index, step in enumerate(build.steps) if step.id}
    return [
        {by_id[name] for name in step.wait_for if name != START} if step.wait_for else set(range(index))
        for index, step in enumerate(build.steps)
    ]

"""The built-in builder: Dockerfiles without RUN, turned into images with nothing but files and tar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from infra.emulator.artifacts.blobs import Blobs
from infra.emulator.artifacts.manifests import compose
from infra.emulator.builds import dockerfile, rootfs
from infra.emulator.builds.bases import SCRATCH, Base
from infra.emulator.builds.context import Context
from infra.emulator.builds.dockerfile import Dockerfile, DockerfileError, Instruction, Lookup, Stage
from infra.emulator.builds.stage import StageBuild, argument_defaults

PLATFORM = {"TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64", "BUILDPLATFORM": "linux/amd64"}
RUN_REFUSED = (
    "line {line}: {raw}\n"
    "The built-in builder cannot run commands. Install buildah on this machine (apt-get install buildah) and have "
    "the base image within reach (a network, or `slipway emulator mirror {base}`), or take the RUN out."
)


@dataclass(frozen=True, slots=True)
class Options:
    """What `docker build` was given."""

    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""


def base_names(parsed: Dockerfile, options: Options) -> list[str]:
    """The images that must be there before the build: every FROM and COPY --from that names no earlier stage."""
    names: list[str] = []
    stages: set[str] = set()
    lookup = global_arguments(parsed, options).get
    for index, stage in enumerate(_wanted(parsed, options.target)):
        base = _base_name(stage, lookup)
        if base.lower() not in stages:
            names.append(base)
        sources = [i.flags["from"] for i in stage.instructions if i.name == "COPY" and "from" in i.flags]
        names += [source for source in sources if source.lower() not in stages and not source.isdigit()]
        stages |= {stage.name, str(index)} - {""}
    return [name for name in dict.fromkeys(names) if name != "scratch"]


def _wanted(parsed: Dockerfile, target: str) -> tuple[Stage, ...]:
    """The stages up to the target, or all of them."""
    if not target:
        return parsed.stages
    for index, stage in enumerate(parsed.stages):
        if target.lower() in (stage.name, str(index)):
            return parsed.stages[: index + 1]
    raise DockerfileError(f"failed to reach build target {target} in Dockerfile")


def global_arguments(parsed: Dockerfile, options: Options) -> dict[str, str]:
    """The ARGs before the first FROM, which bases may be named by."""
    values = {**PLATFORM, **options.arguments}
    for instruction in parsed.arguments:
        for name, default in argument_defaults(instruction, values.get).items():
            values[name] = options.arguments.get(name, default or "")
    return values


def _base_name(stage: Stage, lookup: Lookup) -> str:
    name = dockerfile.expand(stage.start.value.split()[0], lookup)
    if not name:
        raise DockerfileError(
            f"line {stage.start.line}: base name ({stage.start.value.split()[0]}) should not be blank"
        )
    return name


class Builtin:
    """One `docker build`. Made for a thread: `output` must be safe to call from there."""

    def __init__(
        self,
        parsed: Dockerfile,
        options: Options,
        bases: Mapping[str, Base],
        files: Mapping[str, Callable[[], rootfs.Tree]],
        caches: Sequence[Base],
        output: Callable[[str], None],
    ) -> None:
        """`bases` by the name that the Dockerfile gives them; `files` gives a base's files, unpacked when needed.

        Layers that `caches` have already are said to be theirs: they are the same bytes, as layers are reproducible.
        """
        self._parsed, self._options, self._say = parsed, options, output
        self._bases = {"scratch": SCRATCH, **bases}
        self._files, self._caches = files, caches
        self._step = 0

    def build(self, context: Context, blobs: Blobs) -> bytes:
        """The manifest of the image; its blobs are stored. Raises DockerfileError."""
        self._refuse_run()
        outer = global_arguments(self._parsed, self._options).get
        stages = _wanted(self._parsed, self._options.target)
        total = sum(1 + len(stage.instructions) for stage in stages)
        done: dict[str, StageBuild] = {}
        for index, stage in enumerate(stages):
            build = self._start(stage, outer, done, total)
            for instruction in stage.instructions:
                self._announce(total, instruction)
                build.apply(instruction, context, lambda source: self._files_of(source, done), blobs)
                if any(build.last_layer_is_in(image) for image in self._caches):
                    self._say(" ---> Using cache")
            done[str(index)] = build
            if stage.name:
                done[stage.name] = build
        result = done[str(len(stages) - 1)].finish(self._options.labels)
        return compose(blobs, result.config, result.layers)

    def _refuse_run(self) -> None:
        run = self._parsed.uses_run()
        if run is not None:
            base = self._parsed.stages[0].start.value.split()[0]
            raise DockerfileError(RUN_REFUSED.format(line=run.line, raw=run.raw, base=base))

    def _start(self, stage: Stage, outer: Lookup, done: Mapping[str, StageBuild], total: int) -> StageBuild:
        self._announce(total, stage.start)
        name = _base_name(stage, outer)
        if earlier := done.get(name.lower()):
            return StageBuild(earlier.finish({}), earlier.origin, dict(earlier.tree), outer, self._options.arguments)
        base = self._bases[name]
        if base.note:
            self._say(f" ---> {base.note}")
        return StageBuild(base, name, {}, outer, self._options.arguments)

    def _announce(self, total: int, instruction: Instruction) -> None:
        self._step += 1
        self._say(f"Step {self._step}/{total} : {instruction.raw}")

    def _files_of(self, source: str, done: Mapping[str, StageBuild]) -> rootfs.Tree:
        """The files of an earlier stage or of another image, for COPY --from."""
        stage = done.get(source.lower())
        origin = stage.origin if stage else source
        below = self._files[origin]() if origin in self._files else {}
        return {**below, **stage.tree} if stage else below

"""What goes wrong in the steps of a build."""

from __future__ import annotations

from dataclasses import replace

from tasks.failures.catalogue.logs import BUILD_LOG
from tasks.failures.catalogue.rule import MAYBE, NO, Rule, rule
from tasks.failures.catalogue.workload import NO_PROGRAM
from tasks.failures.cause import Cause

_BUILD_LINK = "https://cloud.google.com/build/docs/troubleshooting"


_BUILDPACKS_LINK = "https://cloud.google.com/docs/buildpacks/overview"


_NO_PROGRAM = "A command of the build is not in the image that it runs in."
_INSTALL_IT = (
    "Install it in a line above, or build from an image that has it: npm is in `node`, pip in `python`, not the other "
    "way round."
)


BUILD_STEP_FOR_SURE = (
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "What the build step is to run cannot be run.",
        "Correct `entrypoint` and `args` of that step in cloudbuild.yaml; a script must be in the source and "
        "be executable (`git update-index --chmod=+x`).",
        _BUILD_LINK,
        r"starting step container failed",
    ),
)


BUILD_STEP = (
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "The Dockerfile copies a file that is not in the uploaded source.",
        "Correct the path (it counts from the build context), or take it out of .dockerignore and .gcloudignore; "
        "`gcloud meta list-files-for-upload` shows what is uploaded.",
        _BUILD_LINK,
        r"copy failed|add failed",
        r"failed to (?:compute|calculate) (?:cache key|checksum)",
        r"excluded by \.dockerignore",
        r"error building image: (?:error building stage|getting stage builder)[^\n]{0,200}no such file",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "The build found no Dockerfile where it looked.",
        "Put the Dockerfile at the root of the service's source folder or name it in slipway.yaml; "
        "`gcloud meta list-files-for-upload` shows whether it is uploaded.",
        _BUILD_LINK,
        r"dockerfile: no such file",
        r"(?:failed to read|open|unable to (?:evaluate|prepare)|cannot locate|can't find|missing|no) [^\n]{0,80}dockerfile",
        r"dockerfile[^\n]{0,40} (?:not found|does not exist|is missing|cannot be found)",
        r"dockerfile parse error|unknown instruction",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "The buildpack cannot tell how to start the app.",
        "Add a Procfile with a line for `web:` (or set GOOGLE_ENTRYPOINT), or add a Dockerfile.",
        _BUILDPACKS_LINK,
        r"entrypoint must be manually set",
        r"provide a main\.py|missing entrypoint",
        r"google_entrypoint|google_function_source",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "No buildpack recognises the source: the wrong folder was uploaded, or a file such as package.json, "
        "requirements.txt or go.mod is missing.",
        "Point `source` in slipway.yaml at the app's folder, or add a Dockerfile.",
        _BUILDPACKS_LINK,
        r"no buildpack groups? passed",
        r"fail: no viable|failed to detect",
        r"failed with status code: 2[0-9]\b",
        r"unable to detect (?:a )?(?:language|buildpack)",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "pip cannot install what requirements.txt asks for.",
        "Correct the version in requirements.txt, or choose a Python version that it supports; try it with "
        "`pip install -r requirements.txt` in the same base image.",
        _BUILD_LINK,
        r"no matching distribution",
        r"could not find a version that satisfies",
        r"resolutionimpossible|conflicting dependencies|no module named pip\b",
        r"failed building wheel|metadata-generation-failed|subprocess-exited-with-error",
        r"could not build wheels|failed to build (?:installable )?wheels|could not open requirements file",
        r"error: (?:legacy-install-failure|externally-managed)",
        r"invalid requirement|hashes are required|do not match the hashes",
        r"setup\.py (?:egg_info|bdist_wheel|install)",
        r"requires a different python|requires-python",
        r"poetry\.lock|pipfile\.lock|uv\.lock",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "npm cannot install or build the app.",
        "Run `npm ci && npm run build` in the same Node version, correct package.json or package-lock.json, and "
        "commit the lock file.",
        _BUILD_LINK,
        r"npm err!|npm error",
        r"eresolve|elifecycle|eusage",
        r"yarn (?:install|run|build)[^\n]{0,80}(?:error|fail)|error command failed with exit code",
        r"err_pnpm|pnpm: ",
        r"module not found: (?:error: )?can't resolve",
        r"error ts\d+|failed to compile|webpack[^\n]{0,40} error|vite[^\n]{0,40}error during build",
        r"lock file needs to be updated|\w*lockfile\b|lock file'?s? (?:is )?(?:out of date|not up to date)",
        r"engine \"node\" is incompatible|unsupported engine",
        r"javascript heap out of memory",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        MAYBE,
        "The builder failed while it read or wrote images, not in the app's own code.",
        (
            "Run again; if it stays, choose a newer builder (`gcr.io/buildpacks/builder:latest`), or see whether "
            "the build may write the cache image; read " + BUILD_LOG + "."
        ),
        _BUILDPACKS_LINK,
        r"failed with status code: (?:[346]\d)\b",
        r"failed to export|failed to write image|exporter?[^\n]{0,40} (?:failed|error)",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "The buildpack could not build the app.",
        (
            "Read the buildpack's last lines in "
            + BUILD_LOG
            + "; most often the runtime version (GOOGLE_RUNTIME_VERSION) or a dependency has to change."
        ),
        _BUILDPACKS_LINK,
        r"failed with status code: \d+",
        r"failed to build: ",
        r"error: failed to build",
        r"buildpacks?[^\n]{0,80} (?:failed|error)",
        r"executing lifecycle",
        r"failure: \(id: [0-9a-f]{6,}\)|\[(?:builder|detector)\] ",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "A command of the build was killed, most likely for lack of memory.",
        "Use a larger machine: `options.machineType: E2_HIGHCPU_8` in cloudbuild.yaml, or `--machine-type` of "
        "`gcloud builds submit`.",
        _BUILD_LINK,
        r"(?:non-zero code|non-zero status|exit code|exit status|exited with):? 137\b",
        r"signal: killed",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        _NO_PROGRAM,
        _INSTALL_IT,
        _BUILD_LINK,
        r"(?:non-zero code|exit code|exit status):? 127\b",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "A command of the Dockerfile failed.",
        "Read the lines above it in the build's log, and try the same command with `docker build .`.",
        _BUILD_LINK,
        r"returned a non-zero code|cloud build \S+ status: failure|build error details",
        r"did not complete successfully: exit code",
        r"failed to solve",
        r"error building image",
        r"executor failed running|failed to process \"|error during connect",
        r"missing go\.sum entry|cannot find module providing package|go: [^\n]{0,120}(?:no required module|cannot find|updates to go|unknown revision)",
        r"no required module provides|error: unrecognized command|failed to find one or more images",
        r"build constraints exclude all|cannot find package|undefined: ",
        r"cannot be compiled|compile failed|compil(?:ation (?:errors?|failed|failure)|eerror|er error)|failed with exit status|build failure\b(?!: build step)",
        r"could not compile|cargo build|error\[e\d+\]",
        r"maven|gradle|mvn |failed to execute goal|execution failed for task",
        r"installable set of packages|could not find compatible versions",
        r"could not (?:find|resolve|install) (?:gem|dependenc(?:y|ies)|module|package)s?",
        r"make: \*\*\*|command not found",
        r"connect to the docker daemon|failed to fetch builder image",
        r"unable to locate package|\be: (?:package|unable|failed|version)",
    ),
)


BUILD_WRAPPER = (
    rule(
        Cause.BUILD_STEP_FAILED,
        MAYBE,
        "The image was built, but could not be pushed.",
        f"Run again; if it stays, read the push's last lines in {BUILD_LOG}.",
        _BUILD_LINK,
        r"failed to push|error pushing|push (?:attempt \d+ )?(?:failed|detected failure)",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        MAYBE,
        "A build step was stopped, or could not fetch its packages.",
        ("Run again; if it stays, read the step's last lines in " + BUILD_LOG + "."),
        _BUILD_LINK,
        r"non-zero status: (?:100|143)\b",
    ),
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "A build step failed; the message does not say why.",
        ("Read the step's last lines in " + BUILD_LOG + "."),
        _BUILD_LINK,
        r"build step \d+",
        r"step exited with non-zero",
        r"build failed",
        r"build failure",
        r"user_build_step",
        r"status \"?failure",
        r"docker build[^\n]{0,60} failed|error: build |builds?\.submit",
        r"error building stage",
        r"buildrun|building container[^\n]{0,20}failed|failed to build",
    ),
)


def in_a_build(rule: Rule) -> Rule:
    """The rule as it reads of a build's log, where the program that failed is not the service."""
    if rule.cause is not Cause.CONTAINER_CRASH:
        return rule
    if rule is NO_PROGRAM:
        return replace(rule, cause=Cause.BUILD_STEP_FAILED, problem=_NO_PROGRAM, remedy=_INSTALL_IT, link=_BUILD_LINK)
    return replace(
        rule,
        cause=Cause.BUILD_STEP_FAILED,
        problem=rule.problem.replace("The program in the container", "A program of the build"),
        remedy=f"Try the command with `docker build .` on your own machine; the lines above it are in {BUILD_LOG}.",
        link=_BUILD_LINK,
    )

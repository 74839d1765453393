"""A build log gives up the failing step and its real cause, however many lines surround them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tasks.failures.build_log import FETCH_SOURCE, PUSH, diagnose
from tasks.failures.cause import Cause
from tasks.failures.explain import explain


@dataclass(frozen=True)
class Step:
    id: str
    name: str
    status: str


def log(*steps: str, ending: str) -> str:
    """A log as Cloud Build writes it; each step is `id: line; line`."""
    lines = ['starting build "0b1c"', "", "FETCHSOURCE", "Fetching storage object: gs://acme/source.tgz", "BUILD"]
    for number, step in enumerate(steps):
        name, _, output = step.partition(": ")
        lines.append(f'Starting Step #{number} - "{name}"')
        lines += [f'Step #{number} - "{name}": {line}' for line in output.split("; ")]
        lines.append(f'Finished Step #{number} - "{name}"')
    return "\n".join([*lines, ending, ""])


def failed(number: int, status: int = 1) -> str:
    builder = "gcr.io/cloud-builders/docker"
    return f'ERROR\nERROR: build step {number} "{builder}" failed: step exited with non-zero status: {status}'


NPM = (
    "build-web: Already have image (with digest): gcr.io/cloud-builders/docker; Step 4/7 : RUN npm ci; "
    "npm WARN deprecated har-validator@5.1.5: this library is no longer supported; npm ERR! code ERESOLVE; "
    "npm ERR! ERESOLVE unable to resolve dependency tree; "
    "The command '/bin/sh -c npm ci' returned a non-zero code: 1"
)
PIP = (
    "build-api: Step 3/5 : RUN pip install -r requirements.txt; Collecting flask==9.9; "
    "ERROR: Could not find a version that satisfies the requirement flask==9.9 (from versions: 2.0.0); "
    "ERROR: No matching distribution found for flask==9.9; "
    "The command '/bin/sh -c pip install -r requirements.txt' returned a non-zero code: 1"
)
BUILDPACK = (
    "pack: ===> DETECTING; google.python.missing-entrypoint 0.9.0; ===> BUILDING; "
    'Failure: (ID: 194879d1) for Python, an entrypoint must be manually set, either with "GOOGLE_ENTRYPOINT" env var; '
    "ERROR: failed to build: exit status 1; "
    "ERROR: failed to build: executing lifecycle: failed with status code: 51"
)
COPY = (
    "build-api: Step 10/12 : COPY root/ /; "
    "COPY failed: file not found in build context or excluded by .dockerignore: stat root/: file does not exist"
)
DNS = (
    "build-api: W: Failed to fetch http://deb.example.org/debian Temporary failure resolving 'deb.example.org'; "
    "E: Unable to locate package curl; The command '/bin/sh -c apt-get install curl' returned a non-zero code: 100"
)
DENIED = (
    "push-api: The push refers to repository [europe-west1-docker.pkg.dev/acme/app/api]; ec4d: Waiting; "
    "denied: Permission 'artifactregistry.repositories.uploadArtifacts' denied on resource (or it may not exist)"
)
FINE = "lint: no problems; done"


@pytest.mark.parametrize(
    ("text", "step", "cause", "headline"),
    [
        pytest.param(log(FINE, NPM, ending=failed(1)), "build-web", Cause.BUILD_STEP_FAILED, "ERESOLVE", id="npm"),
        pytest.param(log(PIP, FINE, ending=failed(0)), "build-api", Cause.BUILD_STEP_FAILED, "flask==9.9", id="pip"),
        pytest.param(log(BUILDPACK, ending=failed(0)), "pack", Cause.BUILD_STEP_FAILED, "entrypoint", id="buildpacks"),
        pytest.param(log(COPY, ending=failed(0)), "build-api", Cause.BUILD_STEP_FAILED, "COPY failed", id="docker"),
        pytest.param(log(DNS, ending=failed(0, 100)), "build-api", Cause.NETWORK, "deb.example.org", id="network"),
        pytest.param(log(FINE, DENIED, ending=failed(1)), "push-api", Cause.PERMISSION, "uploadArtifacts", id="denied"),
        pytest.param(
            log(FINE, "slow: working", ending='ERROR: build step 1 "x" failed: context deadline exceeded'),
            "slow",
            Cause.TIMEOUT,
            "deadline",
            id="time-out",
        ),
        pytest.param(
            log(FINE, ending='PUSH\nname unknown: Repository "app" not found\nERROR: error pushing image "x"'),
            PUSH,
            Cause.NOT_FOUND,
            'Repository "app"',
            id="push to a repository that is not there",
        ),
        pytest.param(
            "FETCHSOURCE\nERROR: error fetching source: Error 403: x does not have storage.objects.get access",
            FETCH_SOURCE,
            Cause.PERMISSION,
            "storage.objects.get",
            id="source that may not be read",
        ),
    ],
)
def test_the_failing_step_and_its_real_cause_are_found(text: str, step: str, cause: Cause, headline: str) -> None:
    found = diagnose(text)
    assert (found.step, found.cause) == (step, cause)
    assert headline in found.headline
    assert explain(text).cause is cause  # a pasted log is read in the same way


def test_what_other_steps_said_does_not_count() -> None:
    noisy = "probe: PERMISSION_DENIED: The caller does not have permission; ignored, going on"
    assert diagnose(log(noisy, NPM, ending=failed(1))).cause is Cause.BUILD_STEP_FAILED


def test_warnings_of_the_failing_step_do_not_count() -> None:
    text = log(f"build-web: npm warn 429 too many requests; {NPM.partition(': ')[2]}", ending=failed(0))
    assert "ERESOLVE" in diagnose(text).headline


def test_an_error_that_the_step_got_over_long_before_does_not_count() -> None:
    lines = "; ".join(
        ["denied: Permission 'x.y.z' denied on resource", *["compiling"] * 60, "npm ERR! code ELIFECYCLE"]
    )
    assert diagnose(log(f"build: {lines}", ending=failed(0))).cause is Cause.BUILD_STEP_FAILED


def test_a_cause_far_up_is_found_when_the_last_lines_only_wrap_it() -> None:
    lines = "; ".join(["denied: Permission 'x.y.z' denied on resource", *["waiting"] * 60])
    assert diagnose(log(f"push: {lines}", ending=failed(0))).cause is Cause.PERMISSION


def test_the_last_lines_are_the_steps_own_without_its_prefix_and_at_most_twenty() -> None:
    output = "; ".join(f"line {number}" for number in range(50))
    lines = diagnose(log(FINE, f"build: {output}", ending=failed(1))).last_lines
    assert len(lines) == 20
    assert "line 49" in lines
    assert not any("no problems" in line or line.startswith("Step #") for line in lines)


def test_the_status_of_the_steps_names_the_failing_one_when_the_log_does_not() -> None:
    steps = [Step("lint", "gcr.io/lint", "SUCCESS"), Step("", "gcr.io/builder", "TIMEOUT")]
    found = diagnose("BUILD\nworking", steps)
    assert found.step == "gcr.io/builder"
    assert found.last_lines == ("BUILD", "working")


def test_a_build_of_one_step_has_no_prefixes_and_is_named_by_its_number() -> None:
    text = f"BUILD\nStep 1/2 : FROM scratch\nCOPY failed: no source files were specified\n{failed(0)}"
    assert diagnose(text).step == "step 0"


def test_an_empty_log_is_still_a_failed_build() -> None:
    found = diagnose("")
    assert (found.step, found.cause, found.headline, found.last_lines) == ("", Cause.BUILD_STEP_FAILED, "", ())


def test_secrets_that_a_step_printed_are_masked() -> None:
    text = log(
        "build: npm ERR! //registry.example.org/:_authToken=npm_0123456789abcdef0123456789abcdef", ending=failed(0)
    )
    found = diagnose(text)
    assert "0123456789abcdef" not in repr(found)


@pytest.mark.parametrize("shell", ["/bin/sh: 1: npm: not found", "/bin/sh: npm: not found"])
@pytest.mark.parametrize("ending", ["; The command '/bin/sh -c npm ci' returned a non-zero code: 127", ""])
def test_a_program_that_the_build_lacks_is_to_be_installed_in_it(shell: str, ending: str) -> None:
    text = log(f"build-web: Step 4/7 : RUN npm ci; {shell}{ending}", ending=failed(0, 127))
    found = diagnose(text)
    assert found.cause is Cause.BUILD_STEP_FAILED
    assert found.remedy.startswith("Install it in a line above")
    assert "not in the image that it runs in" in explain(text).problem

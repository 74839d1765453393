"""Cloud Run's own way to build from source (`gcloud run deploy --source`), as a Cloud Build request."""

from __future__ import annotations

from typing import Any

from infra.emulator.builds.records import LogsBehavior
from infra.emulator.builds.substitutions import BuildPb


def build_request(request: Any) -> BuildPb:
    """The build that a run_v2.SubmitBuildRequest stands for."""
    build = BuildPb(images=[request.image_uri], tags=request.tags, service_account=request.service_account)
    source = build.source.storage_source
    source.bucket, source.object_ = request.storage_source.bucket, request.storage_source.object_
    source.generation = request.storage_source.generation
    if request.HasField("buildpack_build"):
        variables = request.buildpack_build.environment_variables
        if request.buildpack_build.function_target:
            variables = {**variables, "GOOGLE_FUNCTION_TARGET": request.buildpack_build.function_target}
        settings = [f"--env={name}={value}" for name, value in sorted(variables.items())]
        arguments = ["build", request.image_uri, "--network", "cloudbuild", *settings]
        build.steps.add(name="gcr.io/k8s-skaffold/pack", entrypoint="pack", args=arguments)
    else:
        arguments = ["build", "--network", "cloudbuild", "--no-cache", "-t", request.image_uri, "."]
        build.steps.add(name="gcr.io/cloud-builders/docker", args=arguments)
    if request.service_account:
        build.options.default_logs_bucket_behavior = LogsBehavior.REGIONAL_USER_OWNED_BUCKET
    return build

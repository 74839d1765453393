"""Where more is to be read, as remedies say it."""

from __future__ import annotations

RUN_LOG = (
    "[`gcloud run services logs read {service} --region {service_region} --project {service_project}`"
    "|its log at https://console.cloud.google.com/run]"
)
BUILD_LOG = (
    "[`gcloud builds log {build} --region {build_region} --project {build_project}`"
    "|`gcloud builds log {build} --project {build_project}`"
    "|the build's log at https://console.cloud.google.com/cloud-build/builds]"
)
READ_ITS_LOG = (
    f"Read its last lines in {RUN_LOG}, and correct the code, its dependencies or the environment variables it needs."
)
QUOTAS = "https://console.cloud.google.com/iam-admin/quotas[?project={project}]"
AUDIT_LOG = (
    "[with `gcloud logging read 'logName:activity' --project {project}`|at https://console.cloud.google.com/logs]"
)

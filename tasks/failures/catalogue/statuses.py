"""Bare status names and HTTP codes: the last resort, when the message says nothing else."""

from __future__ import annotations

from tasks.failures.catalogue.logs import READ_ITS_LOG
from tasks.failures.catalogue.rule import MAYBE, NO, YES, rule
from tasks.failures.cause import Cause

_CODES = "https://cloud.google.com/apis/design/errors"

STATUSES = (
    rule(
        Cause.RATE_LIMIT,
        YES,
        "Google asks for fewer calls.",
        "Wait a minute and run again; if it stays, see "
        "https://console.cloud.google.com/iam-admin/quotas[?project={project}].",
        "https://cloud.google.com/docs/quotas/view-manage",
        r"resource_?exhausted",
        r"\b429\b",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "The caller is not allowed to do this.",
        "See which permission is missing at https://console.cloud.google.com/iam-admin/troubleshooter, grant the role that "
        "holds it, then run again.",
        "https://cloud.google.com/iam/docs/troubleshoot-access",
        r"forbidden|unauthorized|\b40[13]\b|denied\b",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "Something that was asked for does not exist.",
        "Check the name, the project and the region in slipway.yaml against what there is of that kind at "
        "https://console.cloud.google.com/[?project={project}].",
        _CODES,
        r"\b404\b",
    ),
    rule(
        Cause.CONFLICT,
        YES,
        "Somebody else changed the same thing at the same time.",
        "Run again: it reads the present state first; who did it is in the audit log [with `gcloud logging "
        "read 'logName:activity' --project {project}`|at https://console.cloud.google.com/logs].",
        _CODES,
        r"\b409\b|\b412\b|conflict\w*",
    ),
    rule(
        Cause.TIMEOUT,
        YES,
        "The operation did not finish in the time allowed.",
        "Run again: what was begun is found and adopted; if it stays, look at https://status.cloud.google.com.",
        _CODES,
        r"time-?out(?:s|error|exception)?",
    ),
    rule(
        Cause.SERVICE_UNAVAILABLE,
        YES,
        "Google's service failed or is not available at the moment.",
        "Run again in a minute; if it stays, look at https://status.cloud.google.com.",
        "https://status.cloud.google.com",
        r"\b50[023]\b|unavailable|\binternal\b",
    ),
    rule(
        Cause.SERVICE_UNAVAILABLE,
        MAYBE,
        "Google's service gave up without a reason.",
        "Run again in a minute; if it stays, look at https://status.cloud.google.com and at the resource in the console.",
        "https://status.cloud.google.com",
        r"\b(?:code|response)[\s\":=\[]{1,4}1[34]\b",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The request is wrong.",
        "Correct slipway.yaml or the command as the message says; `gcloud run deploy --help` lists the options.",
        _CODES,
        r"\b400\b|invalid\w*",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "gcloud does not take the command as it is.",
        "Correct it as the message says; the same command with `--help` lists what it takes.",
        "https://cloud.google.com/sdk/gcloud/reference",
        r"\(gcloud\.[\w.-]+\) ",  # no status, no code: gcloud itself refuses, before any call
    ),
    rule(
        Cause.CONTAINER_CRASH,
        NO,
        "A program ended with an error.",
        READ_ITS_LOG,
        "https://cloud.google.com/run/docs/troubleshooting",
        r"traceback \(most recent call",
        r"exited with (?:code|status)|exit (?:code|status):? [1-9]\d*",
    ),
)

"""Where messages give the values of blanks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tasks.failures.catalogue.grammar import GRAMMAR


@dataclass(frozen=True, slots=True)
class Places:
    """Slots that are read together, so that a command never joins one thing's name with another's region.

    A place of a later tier counts only if the message has none of the earlier ones.
    """

    slots: tuple[str, ...]
    tiers: tuple[tuple[re.Pattern[str], ...], ...]


# What stands at a place is read whole, whatever it is, and judged then: a name that is masked or cut short must not
# make way for another that stands elsewhere. `-` is Google's "any".
_WHOLE = r"(?!-[/:\"'])[^\s/\"'`\\\[\](),;:&?#|@]+"
_WHOLES = {
    "account": r"[^\s/\"'`\\\[\](),;:&?#|]+",
    "field": r"[^\s\"'`\\,;:]+",
    "image": r"[^\s\"'`\\\[\](),;]+",
    "project": rf"(?:[a-z0-9.-]+\.[a-z]{{2,}}:)?{_WHOLE}",
    "quota": r"[^'\"\\]+",
}
# Of a `<slot!>`, which is read only where it fits: not inside a longer word, not cut short, not part of a mask.
_BEGIN = r"(?<![\w.*%+-])"
_END = r"(?![\w*<{$%@…-]|\.\w|\.\.|:[^\s\"'\\])"


def _places(slots: str, *tiers: tuple[str, ...]) -> Places:
    return Places(tuple(slots.split()), tuple(tuple(map(_compiled, tier)) for tier in tiers))


def _compiled(place: str) -> re.Pattern[str]:
    """`<slot>` and `<slot!>` stand for a value, a space for any white space."""

    def value(slot: re.Match[str]) -> str:
        if slot[2]:
            return f"{_BEGIN}(?P<{slot[1]}>{GRAMMAR[slot[1]]}){_END}"
        return f"(?P<{slot[1]}>{_WHOLES.get(slot[1], _WHOLE)})"

    spaced = place.replace(" ?", r"\s*").replace(" ", r"\s+")
    return re.compile(rf"(?:{_BEGIN}|(?!\w))(?:{re.sub(r'<([a-z_]+)(!?)>', value, spaced)})")


_QUOTE = r"\\?[\"'`\[]"
_UNQUOTE = r"\\?[\"'`\]]"
PLACES = {
    "project": _places(
        "project",
        (  # whose calls are counted
            r"not been used in project <project> before",
            r"overview\?project=<project>",
            r"project_number:<project>",
            r"consumer\\?[\"']?: ?\\?[\"']?projects?[/:]<project>",
            rf"[Bb]illing account for project {_QUOTE}?<project>",
            rf"[Pp]roject {_QUOTE}?<project>{_UNQUOTE}?(?: \(#\d+\))? has billing disabled",
        ),
        (
            r"projects/<project>",
            r"namespaces/<project>/(?:services|jobs|revisions|configurations|executions)",
            rf"[Pp]roject(?: id| ID| number)?:? {_QUOTE}<project>{_UNQUOTE}",
            r"[Pp]roject (?=\S*\d)<project!> (?:has|was|is|does|could)",
            r"--project[= ]<project>",
            r"[?&]project=<project>",
        ),
    ),
    "own_project": _places("own_project"),  # of whoever runs this: no message says it
    "api": _places(
        "api",
        (
            r"apis/(?:api|library)/<api>",
            r"APIs? \[<api>\]",
            r"\\?[\"']service\\?[\"'] ?: ?\\?[\"']<api>",
            rf"[Ss]ervice {_QUOTE}?<api!>{_UNQUOTE}? (?:is|has|was)",
            rf"{_QUOTE}?<api!>{_UNQUOTE}? (?:has not been used|is not enabled|is disabled)",
            rf"of service {_QUOTE}<api>",
        ),
    ),
    "permission": _places(
        "permission",
        (
            rf"[Pp]ermissions? {_QUOTE}<permission!>{_UNQUOTE}",
            rf"(?:Required|required|Missing|missing) {_QUOTE}<permission!>{_UNQUOTE} permission",
            r"\\?[\"']permission\\?[\"'] ?: ?\\?[\"']<permission!>",
            r"not have <permission!> (?:access|permission)",
            r"(?:lacks?|requires?|missing) (?:the )?(?:IAM )?(?:permissions?:? )?[\"'`]?<permission!>",
        ),
    ),
    "principal": _places(
        "principal",
        (
            r"authenticated as <principal!>",
            rf"<principal!>{_UNQUOTE}? (?:does|do) not have",
            rf"<principal!>{_UNQUOTE}? (?:lacks|is missing|needs)",
            rf"[Uu]ser {_QUOTE}<principal!>{_UNQUOTE}",
            rf"for Revision service account {_QUOTE}?<principal!>",
            r"\\?[\"']principalEmail\\?[\"'] ?: ?\\?[\"']<principal!>",
        ),
    ),
    "account": _places(
        "account",
        (
            rf"act as (?:the )?(?:service account )?{_QUOTE}?<account!>",
            rf"denied on (?:the )?service account {_QUOTE}?<account>",
            r"serviceAccounts/<account>",
        ),
    ),
    "absent_account": _places(
        "account_name account_project",
        (
            rf"[Ss]ervice ?[Aa]ccount {_QUOTE}?<account_name>@<account_project>\.iam\.gserviceaccount\.com{_UNQUOTE}?"
            r" (?:does not exist|doesn't exist|was not found|not found)",
            r"Unknown service account:? <account_name>@<account_project>\.iam\.gserviceaccount\.com",
            r"serviceAccounts/<account_name>@<account_project>\.iam\.gserviceaccount\.com",
        ),
    ),
    "repository": _places(
        "repository repository_project repository_location",
        (r"projects/<repository_project>/locations/<repository_location>/repositories/<repository>",),
        (r"<repository_location>-docker\.pkg\.dev/<repository_project>/<repository>(?=/)",),
    ),
    "region": _places(
        "region",
        (r"locations/<region>", r"--region[= ]<region>", r"region \[?<region>\]?", r"[Ll]ocation '?<region!>"),
    ),
    "bucket": _places(
        "bucket",
        (r"gs://<bucket>", r"/b/<bucket>/o", rf"[Bb]ucket:? {_QUOTE}<bucket>{_UNQUOTE}"),
    ),
    "secret": _places("secret secret_project", (r"projects/<secret_project>/secrets/<secret>",)),
    "image": _places("image", (rf"[Ii]mage:? {_QUOTE}<image>{_UNQUOTE}", r"manifest for <image> not found")),
    "package": _places("package", (r"<package!>(?::\w[\w.-]*)?(?:@sha256:[0-9a-f]{64})?",)),
    "service": _places(
        "service service_project service_region",
        (
            r"projects/<service_project>/locations/<service_region>/services/<service>",
            r"locations/<service_region>/namespaces/<service_project>/services/<service>",
            r"Cloud Run service \[<service>\] in project \[<service_project>\] region \[<service_region>\]",
        ),
        (
            r"namespaces/<service_project>/services/<service>",
            r"project=<service_project>&resource=cloud_run_revision/service_name/<service>/revision_name/[a-z0-9-]+",
        ),
        (rf"[Rr]evision {_QUOTE}<service>-\d{{5}}-[a-z0-9]{{3}}{_UNQUOTE}", rf"[Ss]ervice {_QUOTE}<service>{_UNQUOTE}"),
    ),
    "revision": _places("revision", (rf"[Rr]evision {_QUOTE}?<revision!>", r"revision_name/<revision!>")),
    "build": _places(
        "build build_project build_region",
        (
            r"projects/<build_project>/locations/<build_region>/builds/<build>",
            r"builds;region=<build_region>/<build>\?project=<build_project>",
        ),
        (r"builds/<build>\?project=<build_project>", r"projects/<build_project>/builds/<build>"),
    ),
    "port": _places("port", (r"PORT=<port!>", r"port <port!>")),
    "quota": _places(
        "quota",
        (r"quota metric '<quota>'", r"[Qq]uota '<quota>'", r"resource \\?[\"']<quota>\\?[\"']: request requires"),
    ),
    "constraint": _places("constraint", (r"<constraint!>",)),
    "lock": _places("lock", (r"ID: <lock!>",)),
    "host": _places(
        "host",
        (r"lookup <host!>", r"host='<host!>'", r"(?:getaddrinfo|resolve|resolving) (?:host:? |\w+ )?'?<host!>"),
        (r"https?://<host!>",),
    ),
    "argument": _places("argument", (r"argument \[?<argument!>",)),
    "field": _places(
        "field",
        (
            r"\\?[\"']field\\?[\"']: \\?[\"'](?:Violation in )?<field>",
            r"Violation in <field>",
            r"(?=spec|template)<field!>:",
        ),
    ),
    "role": _places("role", (rf"(?:grant\w*|have)[^\n]{{0,60}} {_QUOTE}?<role!>", r"role \(<role!>\)")),
}
SLOTS = {slot: name for name, group in PLACES.items() for slot in group.slots}

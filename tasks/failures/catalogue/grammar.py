"""What a name must look like to be one: what does not fit stays out of every command.

Sources: the resource pages of cloud.google.com/resource-manager, /iam, /run, /artifact-registry, /storage.
"""

from __future__ import annotations

import re

_PROJECT_ID = r"[a-z][a-z0-9-]{4,28}[a-z0-9]"
PROJECT = rf"(?:(?:[a-z0-9-]{{1,63}}\.)+[a-z]{{2,}}:)?{_PROJECT_ID}|[1-9]\d{{5,18}}"  # an id, or the project's number
_CONTINENTS = "africa|asia|australia|europe|me|northamerica|southamerica|us"
REGION = rf"(?:{_CONTINENTS})-(?:north|south|east|west|central|northeast|northwest|southeast|southwest)\d{{1,2}}"
LOCATION = rf"{REGION}|us|europe|asia"  # of an Artifact Registry repository
SERVICE_ACCOUNT = r"[a-z0-9][a-z0-9-]{0,62}@(?:[a-z0-9-]{1,63}\.){0,6}gserviceaccount\.com"
PRINCIPAL = rf"{SERVICE_ACCOUNT}|[A-Za-z0-9](?:[\w%+-]|\.(?!\.)){{0,62}}@(?!\S*gserviceaccount)(?:[a-z0-9-]{{1,63}}\.){{1,5}}[a-z]{{2,24}}"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_TAIL = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"  # a part of an image's path

GRAMMAR = {
    "account": SERVICE_ACCOUNT,
    "account_name": r"(?!service-\d)[a-z][a-z0-9-]{4,28}[a-z0-9]",
    "account_project": _PROJECT_ID,
    "api": r"[a-z][a-z0-9-]{1,61}\.googleapis\.com",
    "bucket": r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
    "build": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "build_project": PROJECT,
    "build_region": rf"{REGION}|global",
    "constraint": r"constraints/[a-z][A-Za-z]*\.(?:managed\.)?[A-Za-z]\w*",
    "host": rf"(?:{_LABEL}\.){{1,8}}[a-z]{{2,24}}",
    "image": rf"(?:{_LABEL}\.){{1,8}}[a-z]{{2,24}}(?:/{_TAIL})+(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?",
    "lock": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[1-9]\d{9,19}",
    "own_project": PROJECT,
    "package": rf"(?:{LOCATION})-docker\.pkg\.dev/{_PROJECT_ID}(?:/{_TAIL}){{2,8}}",
    "permission": r"[a-z]{2,40}(?:\.[a-z][A-Za-z]{1,60}){2,3}",
    "port": r"[1-9]\d{1,4}",
    "principal": PRINCIPAL,
    "project": PROJECT,
    "region": REGION,
    "repository": r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?",
    "repository_location": LOCATION,
    "repository_project": PROJECT,
    "revision": r"[a-z][a-z0-9-]{0,50}-\d{5}-[a-z0-9]{3}",
    "role": r"roles/[a-z][A-Za-z]*(?:\.[A-Za-z]+)*",
    "secret": r"[A-Za-z0-9_][\w-]{0,254}",
    "secret_project": PROJECT,
    "service": r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?",
    "service_project": PROJECT,
    "service_region": REGION,
    # These three are only ever shown in a sentence.
    "argument": r"--?[a-z][\w-]{0,60}",
    "field": r"[A-Za-z]\w*(?:\[\d+\])?(?:\.[A-Za-z]\w*(?:\[\d+\])?){1,12}",
    "quota": r"[A-Za-z][\w ./-]{1,100}",
}
_STAND_INS = re.compile(  # what people write in the place of a name, and names of Google's own that are nobody's
    r"(?:your|my|the|some)-(?:gcp-)?(?:project|service|secret|bucket|repo|repository|app)(?:-(?:id|name|number))?"
    r"|project-(?:id|name|number)|x{3,}[x-]*|.*x{4,}.*|.*redacted.*|placeholder|example|foo|bar"
    r"|googleusercontent\.com|.*\.cloudbuild-logs\.googleusercontent\.com",
    re.IGNORECASE,
)
# Projects of Google's own programs: calls by a login without a quota project are counted against them.
GOOGLES_CLIENTS = frozenset({"764086051850", "32555940559", "563584335869", "618104708054", "681255809395"})


def fits(slot: str, value: str) -> bool:
    """Whether `value` is what the slot's name says, and not a stand-in for it."""
    if _STAND_INS.fullmatch(value) or value in GOOGLES_CLIENTS:
        return False
    return re.fullmatch(GRAMMAR[slot], value) is not None

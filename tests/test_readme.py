"""The README says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tasks.failures.roles import ACT_AS, NEEDS

ROOT = Path(__file__).parent.parent


def roles_table() -> str:
    """One row per role, with everything it is needed for."""
    reasons: dict[str, list[str]] = {}
    for need in (*NEEDS, ACT_AS):
        reasons.setdefault(need.role, []).append(need.why)
    rows = [f"| `{role}` | {'; '.join(why)} |" for role, why in sorted(reasons.items())]
    return "\n".join(["| role | why |", "|---|---|", *rows])


def test_the_readme_lists_exactly_the_roles_that_preflight_asks_for() -> None:
    readme = (ROOT / "README.md").read_text()
    written = readme.partition("<!-- roles -->\n")[2].partition("<!-- /roles -->")[0].strip()
    assert written == roles_table()


def test_the_readme_lists_exactly_the_deployments_of_prefect_yaml() -> None:
    rows = [
        line
        for line in (ROOT / "README.md").read_text().splitlines()
        if re.match(r"\| `\w+` \|.*`\w+/[\w-]+` \|$", line)
    ]
    written = [name for row in rows for name in re.findall(r"`(\w+/[\w-]+)`", row)]
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert sorted(written) == sorted(f"{each['entrypoint'].split('.')[-1]}/{each['name']}" for each in deployments)


def test_every_picture_of_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    pictures = [line.partition("](")[2].rstrip(")") for line in readme.splitlines() if line.startswith("![")]
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)

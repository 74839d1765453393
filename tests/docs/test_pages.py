"""What the hand-written pages say of the repository is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from docs.generators.pages import DOCS, pages
from tasks import model
from tasks.orchestration.stage import STAGES

ROOT = DOCS.parent
README = ROOT / "README.md"
ROOT_PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
ALL_PAGES = [*ROOT_PAGES, *pages()]
PRODUCTION = ("api", "cli", "deployments", "flows", "infra", "tasks")
HANDED_ON = {"SLIPWAY_GIT_USER", "SLIPWAY_GIT_TOKEN", "SLIPWAY_BUILD_TOOLS"}  # by a process to one that it starts
MAX_README_BYTES = 5_000

_PATH = re.compile(r"`((?:api|benchmarks|cli|deployments|docs|examples|flows|infra|tasks|tests)/[\w./-]*)`")
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")
_VARIABLE = re.compile(r"\bSLIPWAY_[A-Z_]+\b")
_DEPLOYMENT = re.compile(r"`(\w+/[\w-]+)`")

each_page = pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def table_after(heading: str, page: Path) -> list[list[str]]:
    """The cells of the rows of the first table below a heading."""
    below = page.read_text().partition(f"\n{heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert lines, f"{page.name} has no table below {heading!r}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()[2:]]


@each_page
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = _PATH.findall(page.read_text())
    assert not [path for path in named if not (ROOT / path).exists() and path != "tests/data/messages.jsonl"]


@pytest.mark.parametrize("page", ROOT_PAGES, ids=lambda page: page.name)
def test_every_link_and_picture_of_a_page_outside_the_site_leads_somewhere(page: Path) -> None:
    links = _LINK.findall(page.read_text())
    assert links
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= MAX_README_BYTES


@pytest.mark.parametrize("page", [README, DOCS / "flows" / "index.md"], ids=["README", "flows"])
def test_a_table_of_flows_lists_exactly_the_deployments_of_prefect_yaml(page: Path) -> None:
    rows = [line for line in page.read_text().splitlines() if re.match(r"\| \[`\w+`\]\(.*`\w+/[\w-]+` \|$", line)]
    written = [name for row in rows for name in _DEPLOYMENT.findall(row)]
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert sorted(written) == sorted(f"{each['entrypoint'].split('.')[-1]}/{each['name']}" for each in deployments)


def test_every_flow_has_a_page() -> None:
    flows = {file.stem for file in (ROOT / "flows").glob("*.py") if file.stem != "__init__"}
    assert {page.stem for page in (DOCS / "flows").glob("*.md") if page.stem != "index"} == flows


def test_the_page_of_deploy_has_every_stage_in_its_order() -> None:
    said = [row[0] for row in table_after("## Stages", DOCS / "flows" / "deploy.md")]
    assert [stage for stage in said if stage in STAGES] == list(STAGES)


def test_the_architecture_page_lists_exactly_the_rooms() -> None:
    said = [row[0].strip("`/") for row in table_after("## The rooms of tasks", DOCS / "architecture.md")]
    tasks = ROOT / "tasks"
    assert sorted(said) == sorted(["model.py", *(room.parent.name for room in tasks.glob("*/__init__.py"))])


def test_where_is_what_answers_many_questions_with_files_that_are_there() -> None:
    text = (DOCS / "architecture.md").read_text().partition("\n## Where is what\n")[2]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| .*\?", line)]
    assert len(rows) >= 90
    for question, answer in rows:
        paths = _PATH.findall(answer)
        assert paths, question
        beside = {(ROOT / path).parent for path in paths}  # a name without folders stands for a file beside another
        short = re.findall(r"`(\w+\.(?:py|tf))`", answer)
        assert not [name for name in short if not any((folder / name).exists() for folder in beside)], question


@each_page
def test_every_row_is_in_a_table_that_has_a_heading(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    tables = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    assert not [table for table in tables if not re.match(r".*\n\|(?: ?:?-+:? ?\|)+", table)]


def test_the_reference_has_exactly_the_environment_variables_that_the_code_reads() -> None:
    told = set(_VARIABLE.findall((DOCS / "reference" / "environment-variables.md").read_text()))
    code = [path for folder in PRODUCTION for path in (ROOT / folder).rglob("*.py")]
    assert told == {name for path in code for name in _VARIABLE.findall(path.read_text())} - HANDED_ON


def test_the_picture_of_values_names_classes_that_are_there() -> None:
    picture = (DOCS / "architecture.md").read_text().partition("\n## The values\n")[2]
    names = next(line for line in picture.splitlines() if "──►" in line).split("──►")
    assert len(names) >= 5
    assert not [name for name in names if not isinstance(getattr(model, name.strip(), None), type)]


def test_the_navigation_names_every_decision() -> None:
    listed = (DOCS / "decisions" / "index.md").read_text()
    assert not [page.name for page in (DOCS / "decisions").glob("0*.md") if f"({page.name})" not in listed]

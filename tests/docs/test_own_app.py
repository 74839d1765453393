"""The page that leads a user's own app to a URL: its files, and what it says to type."""

from __future__ import annotations

import re
from pathlib import Path

from infra.emulator.builds import dockerfile
from infra.emulator.builds.builtin import Options, base_names
from tasks.describe.describe import describe
from tasks.preflight.offline import check_folder
from tests.cli.test_commands import COMMANDS
from tests.tasks.repos import Repo

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "ship-your-own-app.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def test_its_commands_are_commands_with_options_that_they_have() -> None:
    typed = re.findall(r"^\$ (?:sudo env PATH=\$PATH )?slipway (.+)$", PAGE, re.MULTILINE)
    assert len(typed) >= 4
    for line in typed:
        known = max((name for name in COMMANDS if line.startswith(name)), key=len)
        assert not set(re.findall(r"--[a-z-]+", line)) - {each.split("=")[0] for each in COMMANDS[known]}, line


async def test_its_app_is_described_with_the_one_line_that_it_says_to_add(tmp_path: Path) -> None:
    repo = Repo.init(tmp_path / "hello")
    repo.commit(**{"main.py": block("python"), "Dockerfile": block("dockerfile")})
    text, _ = await describe(repo.path, project="slipway-demo", region="europe-west1")
    before, added = block("yaml").split("    public: true\n")
    assert before in re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE)
    assert added == ""
    (repo.path / "slipway.yaml").write_text(text.replace("    source: .\n", "    source: .\n    public: true\n"))
    assert await check_folder(repo.path, "staging") == []


def test_the_base_that_it_has_made_is_the_one_that_its_dockerfile_names() -> None:
    (base,) = base_names(dockerfile.parse(block("dockerfile")), Options())
    assert f"slipway emulator mirror {base}\n" in PAGE

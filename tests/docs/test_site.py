"""The site can be built, and every link in it leads somewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from docs.generators.pages import DOCS

ASSETS_OF_OTHERS = ('src="http', "@import", "fonts.g")


def test_the_site_is_built_without_a_warning_and_asks_no_other_host_for_anything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "index.html").read_text()
    assert not [asset for asset in ASSETS_OF_OTHERS if asset in page]
    assert not list(tmp_path.rglob("*.py"))

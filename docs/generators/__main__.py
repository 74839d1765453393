"""`python -m docs.generators`: writes the generated parts of all pages."""

from __future__ import annotations

import sys

from docs.generators.pages import rewrite

for changed in rewrite():
    sys.stdout.write(f"{changed}\n")

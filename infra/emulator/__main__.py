"""`python -m infra.emulator`: the local Google Cloud as a process."""

from infra.emulator.cli import main

main()

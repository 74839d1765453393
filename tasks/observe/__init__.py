"""What is told of releases, and measured: logs that outlive their run, figures. Imports up to `release`.

Begin with `archive` (the log of a run in the app's bucket) and `figures` (what a history of releases tells; pure).
"""

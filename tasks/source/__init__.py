"""The repository: where it is, what is in it, what its commit is called.

Begin with `source` (opening one) and `version` (commit -> version). Imports `failures`, `names` and `model`.
"""

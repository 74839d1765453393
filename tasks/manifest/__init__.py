"""slipway.yaml: its settings, its rules, and where in the file something is wrong.

Begin with `manifest` (the whole file as one value) and `settings` (what may stand in it); `loading` reads it.
Imports `failures` and `names`.
"""

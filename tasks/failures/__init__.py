"""How any failure is said: the errors, the catalogue that explains foreign ones, and what is never shown.

Begin with `errors` (the tree) and `explain` (a message or exception -> cause, remedy). The ground every room stands on:
imports `infra.gcp` and nothing else of this project.
"""

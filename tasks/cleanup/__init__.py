"""What nothing needs any more: found, planned, shown, deleted.

Begin with `propose` (a plan) and `carry_out` (its deletions). `engine` decides and is pure; `kinds` knows each
kind of resource.
"""

"""Is it healthy? Begin with `verdict` (from evidence to a verdict; pure) and `proof` (the evidence before any traffic).

Imports up to `builds`.
"""

"""Whether images may be shipped for what is in them: `verdict.py` decides and is pure, `gate.py` asks and waits.

May import rollout and what is below it.
"""

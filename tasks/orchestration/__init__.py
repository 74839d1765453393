"""How a run behaves: everything that is about Prefect itself.

Begin with `step` (a task with its retries) and `stage` (what the run page shows).
Imports the rooms below it, up to `source`.
"""

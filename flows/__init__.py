"""The flows: each a sentence of tasks. Begin with `deploy`."""

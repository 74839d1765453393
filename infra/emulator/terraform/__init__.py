"""A stand-in for Terraform's Google providers: a process of its own, which calls whatever cloud its environment names.

Begin with `engine.py`: what Terraform asks, and what is answered. `kinds/` knows the resources.
"""

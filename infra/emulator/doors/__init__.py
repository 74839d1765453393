"""The ways in: gRPC, REST, the forward proxy with its certificates, and the admin port.

Begin with `dispatch.py`, the path of every call to its handler. May import iam, projects and kernel, but no service:
what is behind the doors they learn from the cloud.
"""

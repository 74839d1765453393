"""The app's objects in a Kubernetes cluster: what the manifests that are live do not define, and nothing uses.

`view` looks, `ownership` says whose a thing is, `references` who uses it, `definitions` what is meant to be there;
each kind is one file.
"""

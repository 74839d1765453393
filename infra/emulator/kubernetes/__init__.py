"""Kubernetes Engine: clusters, and the API server of each. No nodes: what is scheduled stays pending.

Judged by the recorded answers of a real kube-apiserver, by kubectl, and by `gcloud container clusters`.
"""

"""Cloud Functions, second generation: a source that Cloud Build makes an image of, and a service that runs it.

Begin with `api.py`; `deployment.py` carries out what it is asked for. May import all rooms but monitoring and
apigateway.
"""

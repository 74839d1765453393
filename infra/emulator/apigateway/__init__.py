"""API Gateway: APIs, their configs, and gateways that really route requests to the services of the local Cloud Run.

Begin with `api.py`; `state.py` holds what there is and carries changes out, `openapi/` reads what a config says, and
`front.py` takes the requests. May import all rooms but monitoring and functions.
"""

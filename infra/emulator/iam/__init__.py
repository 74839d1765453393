"""Who calls and what they may: identities, policies, roles, service accounts, organisation policies.

Begin with `admission.py`, which every call passes, then `policies.py` and `identity.py`; `*_api.py`, `credentials.py`,
`oauth.py` and `service_accounts.py` are the APIs over them. May import kernel and projects.
"""

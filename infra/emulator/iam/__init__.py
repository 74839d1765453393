"""Who calls and what they may: identities, policies, roles, service accounts, organisation policies."""

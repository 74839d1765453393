"""`slipway serve`: what other systems ask over HTTP. Stateless, a client of Prefect and Google; begin with `app`."""

"""Google Cloud: the only code that imports google.*; one package or file per API, over `calls`. Knows no Prefect."""

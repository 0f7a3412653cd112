"""The HTTP way in: a FastAPI app over the same service as everything else. It holds no logic of ingestion.

`app.create_app` wires it; the extra `api` brings what it needs; `mre serve` runs it.
"""

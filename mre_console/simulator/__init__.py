"""A LiveRC look-alike on loopback: generates pages whose truth it knows, serves them per Host, injects faults."""

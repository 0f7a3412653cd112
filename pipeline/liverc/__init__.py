"""The connector: all that knows LiveRC. URLs, HTTP, politeness, selector contracts, page readers, the lap script."""

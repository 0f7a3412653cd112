"""What happens to an event: fetch, read, normalise, validate, publish, recover. Knows no user interface."""

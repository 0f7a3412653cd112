"""What the operator sees: one file per screen with its .tcss beside it. Knows no SQL and fetches nothing."""

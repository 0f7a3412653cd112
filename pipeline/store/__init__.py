"""The database and the page archive: all that knows a table or a file layout, and the triggers that guard the data."""

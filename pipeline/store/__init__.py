"""The database and the page archive: everything that knows a table or a file layout, and the triggers that guard both."""

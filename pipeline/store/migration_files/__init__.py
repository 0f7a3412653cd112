"""Numbered migrations. A file that was released is never edited: add the next number instead (its checksum is stored)."""

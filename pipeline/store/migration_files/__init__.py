"""Numbered migrations. A file that was released is never edited (its checksum is stored): add the next number."""

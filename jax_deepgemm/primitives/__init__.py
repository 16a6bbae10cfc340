"""One family of primitives per file; nothing is exported from here."""

"""Stage 05 in full: the append-only file, as a folder that a real Redis can take over."""

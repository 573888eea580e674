"""The format of Redis snapshots (RDB)."""

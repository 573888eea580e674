"""Replication: a second server keeps a copy of the data, and can take over."""

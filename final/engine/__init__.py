"""Runs requests, and keeps what clients wait for, watch and are subscribed to. It knows no socket."""

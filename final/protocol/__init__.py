"""Stages 02 and 03 in full: bytes become requests, values become replies. It knows no data and no socket."""

"""How a request is run: admitted, executed, settled; and who waits, watches, listens meanwhile."""

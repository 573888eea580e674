"""Run requests: check, execute, hand on what they changed. And what clients wait for, watch and are subscribed to."""

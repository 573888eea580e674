"""The stages, and around them the desk (`python -m stages`) and the checkpoints' harness (`checkpoint`)."""

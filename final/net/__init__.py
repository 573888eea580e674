"""Stage 01 in full: listening, connections, timers and signals. The only package that knows sockets."""

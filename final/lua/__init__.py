"""Lua for scripts, through the library lupa, in a sandbox."""

"""Lua for scripts, through the library lupa, with nothing in reach but what is handed in."""

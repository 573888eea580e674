"""For those who change the stages; CONTRIBUTING.md is their guide. Imports the desk and the harness.

The files:

    carry.py  the command `carry`: applies a fix of one stage's file to the later copies of that file
"""

COMMANDS = ("carry",)

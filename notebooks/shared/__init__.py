"""What the notebooks share. None of it is part of a stage.

The files:

    folders.py  where the stages' code is, which code an experiment runs on, and temporary folders
    servers.py  starts servers for the experiments, connects to them, and stops them all at the end
    keeper.py   a program that stops servers and removes folders when a kernel has ended, also by `kill -9`
    learner.py  what exercises use: whose code a check runs, the check itself, and solutions that replace nothing
    finding.py  finds and imports functions of the learner's files in work/, and of the stages
    moving.py   pictures that move with a slider
    colours.py  colours that can be seen on a white and on a dark page
    tables.py   draws bytes, commands and logs as tables of HTML; a page without HTML shows the same as text
    parsing.py  draws the Reader of stage 02 at work, byte by byte
    charts.py   draws measurements with matplotlib
"""

"""What the notebooks share. None of it is part of a stage.

The files:

    folders.py  where the stages' code is, and which code an experiment runs on
    servers.py  starts servers for the experiments, connects to them, and stops them all at the end
    learner.py  finds the learner's own version of a function in work/, so that the checks run on it
    colours.py  colours that can be seen on a white and on a dark page
    tables.py   draws bytes, commands and logs as tables of HTML; a page without HTML shows the same as text
    parsing.py  draws the Reader of stage 02 at work, byte by byte
    charts.py   draws measurements with matplotlib
"""

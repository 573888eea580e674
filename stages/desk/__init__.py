"""The learner's commands, `python3 -m stages COMMAND`; a module for each. Imports the harness.

    road.py      shows every stage, how far you are, and what to type next
    start.py     merges a stage into work/
    check.py     runs the stage's checkpoint on work/
    hint.py      shows one more hint for a check that fails
    diff.py      shows what differs between two stages, without the bodies that are still to be written
    solution.py  shows the reference next to the learner's code; not in a handout
    spy.py       prints what a client and a server say to each other

They share:

    shared.py    the folder work/, how a stage is typed, the error that says what to type instead
    progress.py  what is remembered of the learner: the last check of each stage, the hints shown
    manifest.py  the table in a stage's README, parsed; and the functions of Python files
    starter.py   the starter of a stage, made from its reference and its table
    merge.py     three-way merge of Python files, definition by definition
"""

COMMANDS = ("road", "start", "check", "hint", "diff", "solution", "spy")

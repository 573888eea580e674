"""The stages, and the programs that belong to them. A package imports only packages above it in this list:

    NN-…/      a stage: its README, its modules, its checkpoint; imported by none of the packages
    harness/   runs a checkpoint on a program; imports no other package
    desk/      the learner's commands: `python3 -m stages start`, `check`, `hint`, …; imports harness
    upkeep/    for those who change the stages: `carry`; imports harness, desk
    teacher/   for teachers: `handout`, `grade`, `gradescope`; imports harness, desk

`__main__.py` finds the commands in the packages. TEACHING.md is the guide for teachers.
"""

"""The teacher's commands; TEACHING.md is their guide. Imports the desk and the harness.

    handout.py     writes the folder that students start from
    grade.py       grades one submission, or a folder of them
    gradebook.py   writes the grades into a roster, as Canvas and Moodle take it
    gradescope.py  writes the zip file that Gradescope asks for
    similar.py     compares submissions with each other

Behind them:

    leaks.py       looks for solutions in a folder that must not have any
    text.py        makes text from submissions safe to print, to open in a spreadsheet, to name a file
    submission.py  copies or unpacks a submission: plain files only, and not too many
    isolation.py   keeps submissions apart: finds the best mode that works, and runs pytest in it
    assess.py      grades one submission: runs the original checkpoint on it, under limits
    results.py     writes a grade down: CSV, feedback, JUnit's XML, Gradescope's JSON
"""

COMMANDS = ("handout", "grade", "gradebook", "gradescope", "similar")

"""On which stages a test of some seconds runs in `make test`: those of the course; the others are slow tests.

Of every stage `make test` runs the checkpoint on its reference; of the course on the next stage and `final/`, too, and
the notebook.
"""

import pytest

from stages.harness.course import COURSE, STAGES

COURSE_FIRST = [pytest.param(stage, marks=[pytest.mark.slow] if stage > COURSE else []) for stage in STAGES]

each_stage = pytest.mark.parametrize("stage", COURSE_FIRST)

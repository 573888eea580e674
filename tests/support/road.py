"""On which stages a test of some seconds runs in `make test`: those of the course; the others are slow tests.

Of every stage `make test` runs the checkpoint on its reference; of the course also on the next stage, that of 04 on
`final/`, and the notebooks.
"""

import pytest

from stages.harness.course import COURSE, STAGES

COURSE_FIRST = [pytest.param(stage, marks=[pytest.mark.slow] if stage > COURSE else []) for stage in STAGES]

each_stage = pytest.mark.parametrize("stage", COURSE_FIRST)

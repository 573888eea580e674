"""The commands `python3 -m stages …`, as a learner uses them."""

from stages.desk.starter import starter
from tests.support.stages_copy import StagesCopy

CHECKPOINT = '''
def test_it_has_a_server(modules):
    """There is a server.

    First hint.

    Last hint,
    in two lines.
    """
    modules.check("import server; result = 1", 1)


def test_it_is_blue(modules):
    """The server is blue.

    Paint it.
    """
    modules.check("import server; result = server.colour", "blue")
'''


def test_the_road_shows_every_stage_and_the_next_command(stages_copy: StagesCopy) -> None:
    status, said = stages_copy.desk()
    assert status == 0
    assert said.count("not begun") == 5
    assert said.endswith("Next, type: python3 -m stages start 01\n")


def test_start_writes_the_starter_and_the_road_shows_it(stages_copy: StagesCopy) -> None:
    status, said = stages_copy.desk("start", "01")
    assert status == 0
    assert (stages_copy.work / "server.py").read_text() == starter(1)["server.py"]
    assert "You write in server.py: " in said and "python3 -m stages check 01" in said
    assert "begun, not checked" in stages_copy.desk()[1]


def test_start_overwrites_no_file(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "server.py").write_text("my own")
    status, said = stages_copy.desk("start", "1")
    assert status == 2
    assert "work/ has server.py already" in said and "--force" in said
    assert (stages_copy.work / "server.py").read_text() == "my own"


def test_start_with_force_keeps_a_copy_of_what_it_overwrites(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "server.py").write_text("my own")
    assert stages_copy.desk("start", "01", "--force")[0] == 0
    assert (stages_copy.work / "server.py").read_text() == starter(1)["server.py"]
    assert [copy.read_text() for copy in stages_copy.folder.glob("work-*/server.py")] == ["my own"]


def test_a_later_start_adds_new_files_and_names_the_files_to_change(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "server.py").write_text("my own")
    status, said = stages_copy.desk("start", "02")
    assert status == 0
    assert (stages_copy.work / "reader.py").read_text() == starter(2)["reader.py"]
    assert (stages_copy.work / "server.py").read_text() == "my own"
    assert "You write in server.py: Connection.data_received" in said
    assert "Copy into server.py from stage 02: " in said and "python3 -m stages diff 01 02" in said


def test_a_start_without_the_stage_before_says_what_to_type(stages_copy: StagesCopy) -> None:
    status, said = stages_copy.desk("start", "03")
    assert status == 2
    assert "python3 -m stages start 02" in said and "python3 -m stages start 03 --from-reference" in said
    assert not stages_copy.work.exists()


def test_a_learner_can_start_at_any_stage(stages_copy: StagesCopy) -> None:
    assert stages_copy.desk("start", "03", "--from-reference")[0] == 0
    assert {path.name: path.read_text() for path in stages_copy.work.iterdir()} == starter(3)


def test_road_and_hint_use_the_outcome_of_check(stages_copy: StagesCopy) -> None:
    (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
    stages_copy.desk("start", "01")
    status, said = stages_copy.desk("check")
    assert status == 1 and "1 failed, 1 passed" in said and "this was your code in work/" in said
    assert "1 of 2 checks" in stages_copy.desk()[1]
    assert "test_it_is_blue: The server is blue.\n\nHint 1 of 1:\n    Paint it." in stages_copy.desk("hint", "01")[1]
    with (stages_copy.work / "server.py").open("a") as file:
        file.write('\ncolour = "blue"\n')
    assert stages_copy.desk("check", "01")[0] == 0
    assert "passed" in stages_copy.desk()[1]
    assert "no failed test of stage 01 is known" in stages_copy.desk("hint", "01")[1]


def test_each_call_of_hint_shows_one_hint_more(stages_copy: StagesCopy) -> None:
    (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
    first, second, third = (stages_copy.desk("hint", "01", "it_has_a_server")[1] for _ in range(3))
    assert "Hint 1 of 2:\n    First hint." in first and "Last hint" not in first
    assert "First hint." in second and "Hint 2 of 2:\n    Last hint,\n    in two lines." in second
    assert third == second and "no more hints" in third


def test_hint_for_an_unknown_check_lists_the_checks(stages_copy: StagesCopy) -> None:
    (stages_copy.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
    status, said = stages_copy.desk("hint", "01", "red")
    assert status == 2
    assert "test_it_has_a_server" in said and "test_it_is_blue" in said


def test_diff_shows_what_a_stage_adds(stages_copy: StagesCopy) -> None:
    status, said = stages_copy.desk("diff", "01", "02", "server.py")
    assert status == 0
    assert said.startswith("--- 01-echo-server/server.py\n+++ 02-resp-reader/server.py\n@@")
    assert "+from reader import ProtocolError, Reader" in said


def test_a_stage_that_does_not_exist_is_named(stages_copy: StagesCopy) -> None:
    status, said = stages_copy.desk("start", "07")
    assert status == 2
    assert "there is no stage 07; they are 01 to 05" in said


def test_only_the_outcome_of_a_whole_checkpoint_is_stored(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.work / "server.py").write_text("colour = 'red'\n")
    (stages_copy.folder / "stages" / "01-echo-server" / "test_checkpoint.py").write_text(CHECKPOINT)
    assert "is not stored" in stages_copy.desk("check", "01", "-x")[1]
    assert "begun, not checked" in stages_copy.desk()[1]
    assert "is not stored" not in stages_copy.desk("check", "01", "-q")[1]
    assert "1 of 2 checks" in stages_copy.desk()[1]


def test_a_watched_checkpoint_is_run_again_at_every_save(stages_copy: StagesCopy) -> None:
    stages_copy.desk("start", "01")
    (stages_copy.folder / "stages" / "01-echo-server" / "test_checkpoint.py").write_text(CHECKPOINT)
    (stages_copy.work / "server.py").write_text("colour = 'red'\n")
    with stages_copy.begin("check", "01", "--watch") as watching:
        assert "1 failed, 1 passed" in watching.until("Waiting until a file")
        (stages_copy.work / "server.py").write_text("colour = 'blue'\n")
        assert "2 passed" in watching.until("Waiting until a file")

"""The commands `python3 -m stages …`, as a learner uses them."""

from stages.desk.starter import starter
from tests.support.house import House

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


def test_the_road_shows_every_stage_and_the_next_command(house: House) -> None:
    status, said = house.desk()
    assert status == 0
    assert said.count("not begun") == 5
    assert said.endswith("Next, type: python3 -m stages start 01\n")


def test_start_writes_the_starter_and_the_road_shows_it(house: House) -> None:
    status, said = house.desk("start", "01")
    assert status == 0
    assert (house.work / "server.py").read_text() == starter(1)["server.py"]
    assert "You write in server.py: " in said and "python3 -m stages check 01" in said
    assert "begun, not checked" in house.desk()[1]


def test_start_overwrites_no_file(house: House) -> None:
    house.desk("start", "01")
    (house.work / "server.py").write_text("my own")
    status, said = house.desk("start", "1")
    assert status == 2
    assert "work/ has server.py already" in said and "--force" in said
    assert (house.work / "server.py").read_text() == "my own"


def test_start_with_force_keeps_a_copy_of_what_it_overwrites(house: House) -> None:
    house.desk("start", "01")
    (house.work / "server.py").write_text("my own")
    assert house.desk("start", "01", "--force")[0] == 0
    assert (house.work / "server.py").read_text() == starter(1)["server.py"]
    assert [copy.read_text() for copy in house.folder.glob("work-*/server.py")] == ["my own"]


def test_a_later_start_adds_new_files_and_names_the_files_to_change(house: House) -> None:
    house.desk("start", "01")
    (house.work / "server.py").write_text("my own")
    status, said = house.desk("start", "02")
    assert status == 0
    assert (house.work / "reader.py").read_text() == starter(2)["reader.py"]
    assert (house.work / "server.py").read_text() == "my own"
    assert "You write in server.py: Connection.data_received" in said
    assert "Copy into server.py from stage 02: " in said and "python3 -m stages diff 01 02" in said


def test_a_start_without_the_stage_before_says_what_to_type(house: House) -> None:
    status, said = house.desk("start", "03")
    assert status == 2
    assert "python3 -m stages start 02" in said and "python3 -m stages start 03 --from-reference" in said
    assert not house.work.exists()


def test_a_learner_can_start_at_any_stage(house: House) -> None:
    assert house.desk("start", "03", "--from-reference")[0] == 0
    assert {path.name: path.read_text() for path in house.work.iterdir()} == starter(3)


def test_road_and_hint_use_the_outcome_of_check(house: House) -> None:
    (house.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
    house.desk("start", "01")
    status, said = house.desk("check")
    assert status == 1 and "1 failed, 1 passed" in said and "this was your code in work/" in said
    assert "1 of 2 checks" in house.desk()[1]
    assert "test_it_is_blue: The server is blue.\n\nHint 1 of 1:\n    Paint it." in house.desk("hint", "01")[1]
    with (house.work / "server.py").open("a") as file:
        file.write('\ncolour = "blue"\n')
    assert house.desk("check", "01")[0] == 0
    assert "passed" in house.desk()[1]
    assert "no failed test of stage 01 is known" in house.desk("hint", "01")[1]


def test_each_call_of_hint_shows_one_hint_more(house: House) -> None:
    (house.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
    first, second, third = (house.desk("hint", "01", "it_has_a_server")[1] for _ in range(3))
    assert "Hint 1 of 2:\n    First hint." in first and "Last hint" not in first
    assert "First hint." in second and "Hint 2 of 2:\n    Last hint,\n    in two lines." in second
    assert third == second and "no more hints" in third


def test_hint_for_an_unknown_check_lists_the_checks(house: House) -> None:
    (house.folder / "stages/01-echo-server/test_checkpoint.py").write_text(CHECKPOINT)
    status, said = house.desk("hint", "01", "red")
    assert status == 2
    assert "test_it_has_a_server" in said and "test_it_is_blue" in said


def test_diff_shows_what_a_stage_adds(house: House) -> None:
    status, said = house.desk("diff", "01", "02", "server.py")
    assert status == 0
    assert said.startswith("--- 01-echo-server/server.py\n+++ 02-resp-reader/server.py\n@@")
    assert "+from reader import ProtocolError, Reader" in said


def test_a_stage_that_does_not_exist_is_named(house: House) -> None:
    status, said = house.desk("start", "07")
    assert status == 2
    assert "there is no stage 07; they are 01 to 05" in said


def test_only_the_outcome_of_a_whole_checkpoint_is_stored(house: House) -> None:
    house.desk("start", "01")
    (house.work / "server.py").write_text("colour = 'red'\n")
    (house.folder / "stages" / "01-echo-server" / "test_checkpoint.py").write_text(CHECKPOINT)
    assert "is not stored" in house.desk("check", "01", "-x")[1]
    assert "begun, not checked" in house.desk()[1]
    assert "is not stored" not in house.desk("check", "01", "-q")[1]
    assert "1 of 2 checks" in house.desk()[1]


def test_a_watched_checkpoint_is_run_again_at_every_save(house: House) -> None:
    house.desk("start", "01")
    (house.folder / "stages" / "01-echo-server" / "test_checkpoint.py").write_text(CHECKPOINT)
    (house.work / "server.py").write_text("colour = 'red'\n")
    with house.begin("check", "01", "--watch") as watching:
        assert "1 failed, 1 passed" in watching.until("Waiting until a file")
        (house.work / "server.py").write_text("colour = 'blue'\n")
        assert "2 passed" in watching.until("Waiting until a file")

"""Files and folders that appear whole or not at all."""

import pytest

from dynammo.data import files


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "session1"
    with pytest.raises(ZeroDivisionError), files.whole_folder(target) as part:
        (part / "weights").write_text("half")
        _ = 1 / 0
    assert not target.exists()
    for text in ("first", "second"):  # a second success replaces the first
        with files.whole_folder(target) as part:
            (part / "weights").write_text(text)
    assert (target / "weights").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["session1"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "a").mkdir()
    kept = [tmp_path / "a/weights", tmp_path / "part", tmp_path / ".hidden"]
    gone = [tmp_path / "a/.weights.12.part", tmp_path / "a/.x.ipynb.part.ipynb"]
    for path in (*kept, *gone):
        path.touch()
    for name in (".session1.part", ".session1.old"):
        (tmp_path / "a" / name).mkdir()
        (tmp_path / "a" / name / "half").touch()
    files.remove_left_overs(tmp_path)
    assert set(tmp_path.rglob("*")) == {*kept, tmp_path / "a"}

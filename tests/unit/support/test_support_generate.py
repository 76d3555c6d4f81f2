"""Stale generated files are named, whichever of the generators they come from."""

from pathlib import Path

from support.generate import stale


def test_a_missing_and_a_changed_file_are_stale_and_an_equal_one_is_not(tmp_path: Path) -> None:
    equal, changed, missing = (tmp_path / name for name in ("equal", "changed", "missing"))
    equal.write_text("text")
    changed.write_text("another text")
    lines = stale(dict.fromkeys((equal, changed, missing), "text"))
    assert [line.split(" is stale")[0] for line in lines] == [str(changed), str(missing)]

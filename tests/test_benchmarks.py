"""The committed pages say what was measured."""

import json
from pathlib import Path

from benchmarks.boards import DOCS, ROWS, page, short_line

README = (Path(__file__).parents[1] / "README.md").read_text()
MEASURED = json.loads((DOCS / "boards.json").read_text())


def test_boards_page():
    assert [row["row"] for row in MEASURED] == list(ROWS)
    assert (DOCS / "boards.md").read_text() == page(MEASURED)


def test_boards_in_readme():
    for row in MEASURED:
        assert short_line(row) + "\n" in README, row["row"]


def test_every_stage_was_equal():
    for row in MEASURED:
        if row["board"] == "tang-nano-9k":
            continue  # no models of its cells
        stages = row["verified"]["stages"]
        assert [stage["stage"] for stage in stages][:3] == ["rtl", "synth", "routed"]
        found = [stage["mismatches"] for stage in stages]
        found += [row["streamed"]["mismatches"]] if "streamed" in row else []
        assert not any(count for mismatches in found for count in mismatches.values())
        if "streamed" in row:
            assert row["streamed"]["cycles_per_image"] == row["cycles_per_image"]

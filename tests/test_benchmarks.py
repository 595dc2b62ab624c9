"""The committed pages say what was measured."""

import json
from pathlib import Path

from benchmarks import boards, ecg, graphs, streams
from benchmarks.boards import DOCS, ROWS, page, short_line
from qsnn.hw.emit.build import NETWORKS, build
from qsnn.hw.plan.folding import Folding
from qsnn.model.description import load

README = (Path(__file__).parents[1] / "README.md").read_text()
MEASURED = json.loads((DOCS / "boards.json").read_text())


def test_boards_page():
    assert [row["row"] for row in MEASURED] == list(ROWS)
    assert (DOCS / "boards.md").read_text() == page(MEASURED)


def test_boards_in_readme():
    shown = [line for line in README.splitlines()
             if line.startswith(tuple(f"| `{row}` |" for row in ROWS))]
    assert len(shown) == 5
    assert set(shown) <= {short_line(row) for row in MEASURED}


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


def test_streams_page():
    rows = json.loads((DOCS / "streams-boards.json").read_text())
    assert {row["row"] for row in rows} <= set(streams.ROWS)
    assert (DOCS / "streams-boards.md").read_text() == streams.page(rows)
    for row in rows:
        assert [stage["stage"] for stage in row["stages"]][:3] == ["rtl", "synth", "routed"]
        assert not any(count for stage in row["stages"] for count in stage["mismatches"].values())


def test_ecg_page():
    document = json.loads((DOCS / "ecg.json").read_text())
    assert (DOCS / "ecg.md").read_text() == ecg.markdown(document)
    of_network = json.loads((NETWORKS / f"{ecg.NETWORK}.json").read_text())
    assert document["stream"]["confusion"] == of_network["test"]["confusion"]
    assert document["result"]["description_sha256"] == of_network["sha256"]
    assert not any(document["stream"]["mismatches"].values())


def test_another_folding_is_not_built(monkeypatch, tmp_path):
    """Test images go through the Verilog of the row, not of what was there before."""
    network, board, clock, seeds, pairs, spram, why = ROWS["85f-small"]
    monkeypatch.setattr(boards, "OUT", tmp_path)
    assert not boards.is_built("85f-small")
    build(load(NETWORKS / f"{network}.qsnn"), [Folding(*pair) for pair in pairs], "85f-small",
          tmp_path)
    assert boards.is_built("85f-small")
    for row in ((network, board, clock, seeds, [(16, 8), (1, 4)], spram, why),
                ("mnist-256-b2", board, clock, seeds, pairs, spram, why)):
        monkeypatch.setitem(ROWS, "85f-small", row)
        assert not boards.is_built("85f-small")


def test_imported_graphs():
    """The table is that of the JSON; every published graph is there, imported or refused."""
    rows = json.loads((DOCS / "import.json").read_text())
    text = (DOCS / "import.md").read_text()
    assert graphs.page(text, rows) == text and graphs.table(rows) in text
    assert {row["row"].split()[0] for row in rows} == {name.split()[0] for name in graphs.ROWS}
    assert all(("refused" in row) != ("verilog" in row) for row in rows)

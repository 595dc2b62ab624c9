"""docs/your-data.md has the figures that were measured, with the options that gave them."""

import json

from benchmarks import own

RESULTS = json.loads((own.DOCS / "own.json").read_text())


def test_page():
    assert set(RESULTS) == set(own.ROWS)
    assert own.table(RESULTS) in (own.DOCS / "your-data.md").read_text()
    for found in RESULTS.values():
        assert found["mismatches"] == 0 < found["simulated"]
        assert found["accuracy"] == round(100 * found["correct"] / found["test"], 4)


def test_options():
    assert own.options_of("--image 1x40 --stream --hidden 8,4 --arch c4k1x3 --epochs 9") == dict(
        image=(1, 40), stream=True, hidden=(8, 4), arch="c4k1x3", epochs=9)

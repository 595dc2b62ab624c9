"""Both schedules are asked through one interface: few places know which one it is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# where it must be known: what a folding is for, the plan, what goes into a board, what samples are
STREAM = {"hw/plan/choice.py", "hw/plan/network.py", "hw/board/cores.py", "sim/workload.py",
          "hw/engine/program.py",
          "scripts/build.py"}  # the last: whose activity counts
SHOWN = {"scripts/api/network.py", "scripts/api/accelerator.py",  # what the API says and takes
         "scripts/stream.py"}  # what can be watched


def sources():
    """(path, text) of the code of hw, sim and scripts."""
    for room in ("hw", "sim", "scripts"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if not path.name.startswith("test_"):
                yield str(path.relative_to(ROOT)), path.read_text()


def test_who_asks_for_a_stream():
    found = {path for path, text in sources()
             if re.search(r"\b(description|net)\.stream\b", text)}
    assert found == STREAM | SHOWN


def test_nobody_asks_for_the_class_of_a_schedule():
    """Neither of a folding, nor of a stage, a layer or a network."""
    kinds = r"(Serial|Parallel|Mixed|Stream)\w*|Folding|StagePlan"
    found = [f"{path}: {match[0]}" for path, text in sources()
             for match in re.finditer(rf"isinstance\([^()]*\b({kinds})\b[^()]*\)", text)]
    assert not found

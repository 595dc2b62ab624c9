"""First import of every script: it runs from a clone, and a missing package is one line."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = {path.name for path in ROOT.iterdir() if path.is_dir()}
REMEDY = {"torch": "run `.venv/bin/pip install -e '.[train]'`"}

sys.path.insert(0, str(ROOT))


def _report(kind, error, traceback):
    package = (error.name or "").split(".")[0] if issubclass(kind, ModuleNotFoundError) else ""
    if not package or package in OURS:
        sys.__excepthook__(kind, error, traceback)
        return
    remedy = REMEDY.get(package, "run `make setup` and use .venv/bin/python")
    print(f"error: the package {package} is missing: {remedy}", file=sys.stderr)
    raise SystemExit(2)


sys.excepthook = _report

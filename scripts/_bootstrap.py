"""First import of every script that is run as a file: what is missing is one line."""

import sys
from pathlib import Path

REMEDY = {"torch": "run `.venv/bin/pip install -e '.[train]'`"}

# the folder of the scripts comes first on the path, and its files have common names
sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]


def _report(kind, error, traceback):
    missing = (error.name or "") if issubclass(kind, ModuleNotFoundError) else ""
    package = missing.split(".")[0]
    if not package or package == "qsnn" and missing != "qsnn":
        sys.__excepthook__(kind, error, traceback)
        return
    remedy = REMEDY.get(package, "run `make setup` and use .venv/bin/python")
    print(f"error: the package {package} is missing: {remedy}", file=sys.stderr)
    raise SystemExit(2)


sys.excepthook = _report

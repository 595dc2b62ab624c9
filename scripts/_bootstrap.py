"""First import of every command: a missing package and Ctrl-C are one line, not a traceback."""

import sys
from pathlib import Path

if (Path(__file__).parents[1] / "pyproject.toml").is_file():  # a clone
    REMEDY, ANY = {"torch": "run `.venv/bin/pip install -e '.[train]'`"}, \
        "run `make setup` and use .venv/bin/python"
else:
    REMEDY, ANY = {"torch": "run `pip install 'qsnn-fpga[train]'`"}, "run `pip install qsnn-fpga`"

# the folder of the scripts comes first on the path, and its files have common names
sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]


def _report(kind, error, traceback):
    if issubclass(kind, KeyboardInterrupt):  # while packages are imported
        print("stopped", file=sys.stderr)
        raise SystemExit(130)
    missing = (error.name or "") if issubclass(kind, ModuleNotFoundError) else ""
    package = missing.split(".")[0]
    if not package or package == "qsnn" and missing != "qsnn":
        sys.__excepthook__(kind, error, traceback)
        return
    print(f"error: the package {package} is missing: {REMEDY.get(package, ANY)}", file=sys.stderr)
    raise SystemExit(2)


sys.excepthook = _report

"""A bitstream's way into a board, and what can be wrong with it."""

import hashlib
import re
import subprocess

from qsnn.hw.board.result import is_of, read_result
from qsnn.hw.board.toolchain import last_line
from qsnn.hw.emit.build import BuildError, open_build

__all__ = ["LoaderError", "find_bitstream", "load", "load_command"]


class LoaderError(RuntimeError):
    """A bitstream that is not there or cannot be loaded; the message says what to do."""


# what openFPGALoader says -> what that means and what to do
REASONS = (
    (r"not enabled at compile time",
     "this openFPGALoader cannot talk to its {board.cable} adapter: install one that can "
     "(apt install openfpgaloader) and have it on the path"),
    (r"usb_open|access|permission|LIBUSB_ERROR_ACCESS|insufficient",
     "no permission to use its USB port: install openFPGALoader's udev rules "
     "(99-openfpgaloader.rules into /etc/udev/rules.d), add yourself to the group plugdev and "
     "plug it in again"),
    (r"claim usb|busy",
     "another program uses its USB port: close serial terminals and host programs"),
    (r"not found|no device|no such device|unable to open|failed to claim cable",
     "no board found: is it plugged in and powered, with a cable that carries data?"),
)


def find_bitstream(folder, board):
    """Path of a network's bitstream for a board; it must be of the folder's own network."""
    facts, _ = open_build(folder)
    place = folder / board.name
    remedy = f"run qsnn build --board {board.name} --bitstream"
    try:
        result = read_result(place)
        bitstream = place / result["bitstream"]["file"]
    except (OSError, BuildError):
        raise LoaderError(f"{folder} has no bitstream for the {board.title}: {remedy}") from None
    if not bitstream.is_file():
        raise LoaderError(f"{bitstream} is missing: {remedy}")
    if not is_of(result, facts):
        raise LoaderError(f"{bitstream} is of another network or folding than {folder}: {remedy}")
    if hashlib.sha256(bitstream.read_bytes()).hexdigest() != result["bitstream"]["sha256"]:
        raise LoaderError(f"{bitstream} is not the file that was made: {remedy}")
    return bitstream


def load_command(program, board, bitstream, into_flash):
    """The command line of openFPGALoader."""
    # boards without the choice have nothing but the flash, and there the option is not needed
    where = ["--write-flash" if into_flash else "--write-sram"] if board.volatile else []
    return [program, "--board", board.loader, *where, str(bitstream)]


def load(command, board):
    """Run it, with its progress on the screen. Raises :class:`LoaderError` with a sentence."""
    said = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", stdin=subprocess.DEVNULL) as process:
        for line in process.stdout:
            said += line
            print("  " + line, end="", flush=True)
    # some failures leave the exit status at zero
    if process.returncode or re.search(r"^(JTAG init failed|Error)", said, re.MULTILINE):
        raise LoaderError(f"{board.title}: {reason(said, board)}")


def reason(said, board):
    """One sentence on what openFPGALoader said."""
    for pattern, sentence in REASONS:
        if re.search(pattern, said, re.IGNORECASE):
            return sentence.format(board=board)
    return f"openFPGALoader failed: {last_line(said) or 'it says nothing'}"

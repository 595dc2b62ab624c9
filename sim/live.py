"""A stream's Verilog, compiled by Verilator, a step at a time: for what is looked at while it runs.

:mod:`qsnn.sim.steps` sends many steps at once and compares checksums; here a caller gives the
beats of a step and gets what the core did with them, before it gives those of the next.
"""

import subprocess
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from qsnn.hw.plan.window import ceil_div
from qsnn.sim.beats import field_of, pack_fields, pack_steps
from qsnn.sim.compiled import compile_verilog
from qsnn.sim.program import workspace
from qsnn.sim.tools import SimulationError

__all__ = ["LiveCore", "Step", "compile_live"]


@dataclass(frozen=True, eq=False)
class Step:
    """What the core did with the beats of a step.

    cycle      clock cycles since its reset, when it was idle again
    busy       cycles that its port ``busy`` was high
    span       cycles from the first beat to the last thing that happened
    inputs     spikes that came out of the encoder, uint8 [n_in]
    spikes     of each hidden layer, uint8 [n_out]
    membranes  of each hidden layer, int16 [n_out]
    scores     int64 [classes] where the step gave a result, else None
    label      of the result, or None
    """

    cycle: int
    busy: int
    span: int
    inputs: np.ndarray
    spikes: tuple
    membranes: tuple
    scores: np.ndarray | None
    label: int | None


def compile_live(folder, facts):
    """The program that takes a build folder's Verilog from step to step."""
    return compile_verilog(folder, facts, "live", header=_header(facts), public=_public(facts))


def _header(facts):
    """What the program has to know of the core, as C macros."""
    port, first, *_ = facts["ports"]["i_payload"], *facts["layers"]
    layers = " ".join(
        f"LAYER({index}, {layer['padded_neurons']}, {layer['lanes']}, {layer['held_bits']})"
        for index, layer in enumerate(facts["layers"][:-1]))
    top = f"top->rootp->{facts['top'].replace('__', '___05F')}__DOT__"
    neurons = f"{top}layer##index##__DOT__neurons__DOT__"
    return "\n".join([
        f"#define INPUT_WORDS {ceil_div(port['width'], 32)}",
        f"#define INPUTS {port['words_per_step'] * first['simd']}",
        f"#define INPUT_LANES {first['simd']}",
        f"#define LAYERS {layers}",
        f"#define INPUT_WRITE {top}input__DOT__o_write",
        f"#define INPUT {top}input__DOT__i___05Fpayload",
        *(f"#define {name.upper()}(index) {neurons}{name}"
          for name in ("spikes_valid", "spikes", "membrane_valid", "membrane")),
        ""])


def _public(facts):
    """Verilator configuration: the signals to keep for the program, nothing else."""
    watched = [("input", ("o_write", "i__payload"))]
    watched += [(f"layer{index}.neurons", ("spikes_valid", "spikes", "membrane_valid", "membrane"))
                for index in range(len(facts["layers"]) - 1)]
    return "\n".join(["`verilator_config", *(
        f'public_flat_rd -module "{facts["top"]}.{module}" -var "{name}"'
        for module, names in watched for name in names)]) + "\n"


def _record(facts):
    """An answer of the program, without the words of a result."""
    port, first = facts["ports"]["i_payload"], facts["layers"][0]
    fields = [("cycle", "<u8"), ("busy", "<u4"), ("span", "<u4"), ("results", "<u4"),
              ("input_beats", "<u4"), ("inputs", "u1", port["words_per_step"] * first["simd"])]
    for index, layer in enumerate(facts["layers"][:-1]):
        for name, kind in (("spikes", "u1"), ("membranes", "<u2")):
            fields += [(f"{name}{index}_beats", "<u4"),
                       (f"{name}{index}", kind, layer["padded_neurons"])]
    return np.dtype(fields)


class LiveCore:
    """The core of a build folder, running; a context manager.

    Raises :class:`qsnn.sim.tools.SimulationError` where it cannot run, or does what it must not.
    """

    def __init__(self, folder, facts):
        if facts["unit"] != "step" or facts["events"]:
            raise SimulationError(f"{folder}: only a stream without events runs step by step")
        self.facts, self.record = facts, _record(facts)
        program = compile_live(folder, facts)
        self.stack = ExitStack()
        work = self.stack.enter_context(workspace(folder))
        # in a session of its own: Ctrl-C is for us, and the end of its input ends it
        self.process = subprocess.Popen(
            [program.resolve()], cwd=work, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                pass  # it is gone already
        self.process.wait()
        self.stack.close()

    def step(self, *, result=False, **fields):
        """Send the beats of one step, each field an array, wait until the core is idle again.

        The fields are those of ``i_payload`` in the facts. result: whether the step must give one;
        one that does not come, or comes without being expected, is an error.
        """
        return self._send(self._pack(fields), result)

    def take(self, spikes, *, result=False):
        """The same for a core without an encoder: spikes [n_in], 0 or 1, of one step.

        result: whether it is the last of its recording, gives a result and forgets everything.
        """
        beats, _ = pack_steps(self.facts, np.asarray(spikes)[None], *np.full((2, 1), result))
        count = self.facts["ports"]["i_payload"]["words_per_step"]
        return self._send(np.frombuffer(beats, "<u4").reshape(count, -1), result)

    def _send(self, beats, result):
        classes = self.facts["layers"][-1]["neurons"]
        head = np.array([len(beats), classes if result else 0], "<u4")
        try:
            self.process.stdin.write(head.tobytes() + beats.tobytes())
            self.process.stdin.flush()
        except OSError:
            self._fail()
        answer = np.frombuffer(self._read(self.record.itemsize), self.record)[0]
        results = np.frombuffer(self._read(8 * int(answer["results"])), "<u8")
        return self._decode(answer, results, result)

    def _pack(self, fields):
        """Beats in whole 32-bit words, uint32 [beats, words]."""
        port = self.facts["ports"]["i_payload"]
        if fields.keys() != port["fields"].keys():
            raise ValueError(f"a beat has the fields {', '.join(port['fields'])}, "
                             f"not {', '.join(fields)}")
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, np.int64))
                                        for value in fields.values()))
        for name, values in zip(fields, columns, strict=True):
            entry = port["fields"][name]
            low = -1 << entry["width"] - 1 if entry["signed"] else 0
            if values.min() < low or values.max() >= low + (1 << entry["width"]):
                raise ValueError(f"{name} has {entry['width']} bits: it takes {low} .. "
                                 f"{low + (1 << entry['width']) - 1}")
        packed = pack_fields(port["fields"], dict(zip(fields, columns, strict=True)),
                             port["width"], len(columns[0]))
        return np.frombuffer(packed, "<u4").reshape(len(columns[0]), -1)

    def _read(self, size):
        data = self.process.stdout.read(size)
        if len(data) < size:
            self._fail()
        return data

    def _fail(self):
        text = self.process.stderr.read().decode(errors="replace").strip()
        raise SimulationError("the simulation failed: "
                              f"{text.splitlines()[-1] if text else 'its program has ended'}")

    def _decode(self, answer, results, expected):
        port, layers = self.facts["ports"]["i_payload"], self.facts["layers"]
        self._count("the input", answer["input_beats"], port["words_per_step"])
        spikes, membranes = [], []
        for index, layer in enumerate(layers[:-1]):
            values = []
            for name in ("spikes", "membranes"):
                self._count(f"{name} of layer {index}", answer[f"{name}{index}_beats"],
                            layer["padded_neurons"] // layer["lanes"])
                values.append(answer[f"{name}{index}"][:layer["neurons"]])
            spikes.append(values[0])
            held = layer["held_bits"]
            sign = 1 << (held - 1) if layer["signed"] or held > layer["membrane_bits"] else 0
            membranes.append(((values[1] ^ sign).astype(np.int32) - sign).astype(np.int16))
        classes = layers[-1]["neurons"]
        self._count("the result", len(results), classes if expected else 0)
        scores = label = None
        if len(results):
            fields = self.facts["ports"]["o_payload"]["fields"]
            scores, label = (field_of(results, fields[name]) for name in ("score", "label"))
            if not np.array_equal(field_of(results, fields["last"]), np.arange(classes)
                                  == classes - 1):
                raise SimulationError("the core ends a result where it must not")
            label = int(label[-1])
        return Step(cycle=int(answer["cycle"]), busy=int(answer["busy"]), span=int(answer["span"]),
                    inputs=answer["inputs"][:layers[0]["inputs"]], spikes=tuple(spikes),
                    membranes=tuple(membranes), scores=scores, label=label)

    @staticmethod
    def _count(name, found, expected):
        if found != expected:
            raise SimulationError(f"the core gave {found} beats of {name} in a step, not "
                                  f"{expected}")

"""A layer with its folding, planned: what every later room asks of it, whichever its schedule."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from qsnn.hw.plan import images
from qsnn.hw.plan.parameters import (
    LeakyParameters,
    NeuronParameters,
    ScoreParameters,
    TotalParameters,
)
from qsnn.model.leak import leak_text

__all__ = ["MapLayer", "ParallelLayer", "PlannedLayer", "SerialLayer"]


@dataclass(frozen=True, eq=False)
class PlannedLayer:
    """What both schedules share.

    index       of the layer in its network
    layer       what the description says of it, see :mod:`qsnn.model.layers`
    stage       words, groups, lanes and cycles that follow from its folding
    time_steps  of an image; 0 in a stream
    """

    index: int
    layer: object
    stage: object
    time_steps: int
    serial: ClassVar[bool]

    @property
    def schedule(self):
        return "serial" if self.serial else "parallel"

    @cached_property
    def tables(self):
        """name -> (width, words) of its memories, see :mod:`qsnn.hw.plan.images`."""
        return images.tables(self.layer, self.stage, self.parameters)

    def image_names(self, top):
        """name -> file of the memory image, for each of them, in a design with that top."""
        return {name: images.image_name(top, self.index, name) for name in self.tables}

    def facts(self, top):
        """What the JSON of a build with that top says of it."""
        files = self.image_names(top)
        layer, stage, parameters = self.layer, self.stage, self.parameters
        facts = {
            "schedule": self.schedule,
            "kind": layer.kind, "inputs": layer.n_in, "neurons": layer.n_out,
            "pe": stage.pe, "simd": stage.simd, "words": stage.words, "groups": stage.groups,
            "lanes": stage.lanes, "channels": stage.n_out, "positions": len(stage.places),
            "columns": stage.window.out_width if stage.window else 1,
            "pool_size": _pool(stage.window),
            "steps": self.steps, "padded_neurons": stage.neurons, "weight_bits": stage.planes,
            "spram": stage.spram, "pixels": stage.pixels, "frac": layer.frac,
            "memories": {name: {"file": f"memory/{files[name]}", "width": width,
                                "depth": len(words)}
                         for name, (width, words) in self.tables.items()},
            "buffer_bits": self.buffer_bits, "bias": _shape(parameters.bias_shape),
        }
        if stage.leaky:
            facts["leak"] = leak_text(layer.leak)
        if stage.counts:
            facts["weight_code"] = layer.weight_code
        if not stage.readout:
            facts |= {"membrane_bits": layer.membrane_bits, "held_bits": layer.held_bits,
                      "signed": layer.signed,
                      "shift": layer.shift, "threshold": _shape(parameters.threshold_shape),
                      "leak": leak_text(layer.leak), "reset": layer.reset}
        if self.time_steps:
            facts |= {"cycles": self.cycles, "utilisation": round(self.utilisation, 4)}
        return facts

    @property
    def utilisation(self):
        """Bits of weights that neurons meet, as a part of PE x SIMD x pixels x cycles."""
        layer, stage = self.layer, self.stage
        skip = layer.skip.weights if layer.skip else None
        synapses = layer.fan_in * layer.weight_bits + (0 if skip is None else skip.shape[1])
        meetings = synapses * layer.n_out * (self.time_steps if self.serial else 1)
        return meetings / (stage.pe * stage.simd * stage.pixels * self.cycles)


class ParallelLayer(PlannedLayer):
    """Of :class:`qsnn.hw.plan.stages.StagePlan`: all time steps of an image at once."""

    serial = False

    @cached_property
    def parameters(self):
        return _parameters(self.stage, ScoreParameters).of(self.layer, self.stage)

    @property
    def steps(self):
        """Time steps that its neuron units work through for each neuron."""
        return self.time_steps

    @property
    def cycles(self):
        """Of an image, where nothing else limits."""
        return self.stage.image_cycles

    @property
    def buffer_bits(self):
        """Of its inputs and those of its skip."""
        stage = self.stage
        total = stage.buffer_words * stage.simd
        if stage.skip:
            total += stage.skip_words * stage.skip_elements
        return total * stage.bits * stage.steps * stage.pixels

    def facts(self, top):
        stage = self.stage
        return super().facts(top) | {"padded_inputs": stage.words * stage.simd}


class MapLayer(ParallelLayer):
    """Of a convolution of a stream: a step is its image, and membranes stay in a memory."""

    schedule, steps = "map", 1

    @property
    def cycles(self):
        """From one step to the next, where nothing else limits: results are waited for."""
        stage = self.stage
        return stage.image_cycles - stage.unit_cycles + stage.written + 2

    def facts(self, top):
        state = self.stage.neuron_beats * self.stage.lanes * self.layer.membrane_bits
        return super().facts(top) | {"cycles": self.cycles, "state_bits": state,
                                     "utilisation": round(self.utilisation, 4)}


class SerialLayer(PlannedLayer):
    """Of :class:`qsnn.hw.plan.serial.SerialStage`: one time step at a time, membranes in memory."""

    serial, steps = True, 1

    @cached_property
    def parameters(self):
        return _parameters(self.stage, TotalParameters).of(self.layer, self.stage)

    @property
    def cycles(self):
        """Of an image whose every word has a spike, or of such a step of a stream."""
        return max(1, self.time_steps) * int(self.stage.step_cycles(self.stage.words))

    @property
    def buffer_bits(self):
        """Of the lists of two steps."""
        return 2 * self.stage.words * self.stage.entry_bits

    def facts(self, top):
        stage = self.stage
        bits = (self.parameters.sum_max.bit_length() if stage.readout
                else self.layer.held_bits)
        return super().facts(top) | {
            "taps": stage.taps, "recurrent": stage.recurrent, "sparse": stage.sparse,
            "cycles_per_step": {"dense": int(stage.step_cycles(stage.words)),
                                "without_spikes": int(stage.step_cycles(0))},
            "state_bits": stage.neurons * bits}


def _parameters(stage, readout):
    """The constants of a stage; ``readout``: those of one whose totals do not leak."""
    if not stage.readout:
        return NeuronParameters
    return LeakyParameters if stage.leaky else readout


def _pool(window):
    """A number for a square, else rows and columns."""
    rows, columns = window.pool_size if window else (1, 1)
    return rows if rows == columns else [rows, columns]


def _shape(shape):
    return {"width": shape.width, "signed": shape.signed}

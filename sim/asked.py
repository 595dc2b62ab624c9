"""Recordings that a network for a stream is asked about, through its Verilog."""

import numpy as np

from qsnn.model.asked import read_recordings
from qsnn.model.data import DataError
from qsnn.sim.workload import Workload, of_dataset

__all__ = ["recordings_of"]


def recordings_of(facts, description, files, dataset, count=None, data_dir=None):
    """Names, and the :class:`~qsnn.sim.workload.Workload`, of recordings in files or of a data set.

    facts: of the build folder. Raises :class:`qsnn.model.data.DataError`.
    """
    encoder, meaning = facts["encoder"], description.meaning
    if dataset:
        found = of_dataset(description, dataset, count, encoder=encoder, data_dir=data_dir)
        return [f"{dataset} {index}" for index in range(len(found.samples))], found
    if encoder and encoder != getattr(meaning, "encoder", ""):
        raise DataError(f"{files[0]}: this Verilog has the encoder {encoder} in front, which takes "
                        "the signals of a data set: give --dataset, or build without --encoder")
    parts = [read_recordings(path, description.n_in, meaning) for path in files]
    lengths = {spikes.shape[1] for spikes, _, _ in parts}
    if len(lengths) > 1:
        raise DataError(f"{files[-1]}: recordings of {min(lengths)} and of {max(lengths)} steps: "
                        "ask about those of one length at a time")
    spikes, labels, values = (list(part) for part in zip(*parts, strict=True))
    names = [path.name if len(part) == 1 else f"{path.name}[{index}]"
             for path, part in zip(files, spikes, strict=True) for index in range(len(part))]
    known = all(found is not None for found in labels)
    raw = (np.concatenate(values).reshape(len(names), -1),) if encoder else None
    return names, Workload(np.concatenate(spikes), np.concatenate(labels) if known else None, raw)

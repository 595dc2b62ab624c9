"""The integers of any network: images by :mod:`qsnn.model.golden`, samples of streams by
:mod:`qsnn.model.streams`.
"""

import numpy as np

from qsnn.model import golden, streams

__all__ = ["infer", "steps_of"]


def infer(description, samples, *, trace=False):
    """The :class:`qsnn.model.golden.Result` of a network for some samples.

    samples: images, integers [N, n_in]; of a stream spikes [N, T, n_in], or [N, T * n_in], each
    from a start of its own. trace: also spikes and membranes. Raises ``ValueError``.
    """
    if description.stream:
        return streams.classify(description, steps_of(description, samples), trace=trace)
    return golden.infer(description, samples, trace=trace)


def steps_of(description, samples):
    """Samples of a stream, [N, T * n_in] or as they are, as [N, T, n_in]."""
    samples = np.asarray(samples)
    if samples.ndim == 2 and samples.shape[1] and samples.shape[1] % description.n_in == 0:
        return samples.reshape(len(samples), -1, description.n_in)
    if samples.ndim != 3 or samples.shape[2] != description.n_in:
        raise ValueError(f"samples must have shape [N, T, {description.n_in}] or "
                         f"[N, T * {description.n_in}], not {list(samples.shape)}")
    return samples

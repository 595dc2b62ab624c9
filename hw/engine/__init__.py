"""The engine: networks larger than the chip, and one bitstream for many.

A layer engine that is used for one layer after the other. What it does is a program, which comes
with the weights from a memory outside, word by word, once for each batch of images.

shape      what an engine is built for, and the layouts of descriptors
program    a description becomes a program: descriptors, parameters, weights; refuses what does not
           fit
maps       where maps lie, and the ways over them
passes     what a layer is made of there: bit planes of weights, skips, thresholds
timing     how long that takes, and what binds: the array or the memory
picture    the same, drawn
loader     takes the program apart; the slab of weights
walk       from position to position, and over the words of a window
gather     pixels become words of the map memory
finish     sums become spikes, pooled and written
scores     class scores of a batch
engine     all of it, and what is done when
system     with the memory that its programs lie in
"""

"""Numbers that follow from a description and a folding: no gateware, no tools.

It imports nothing of the other rooms, and all of them may import it. They ask a
:class:`qsnn.hw.plan.network.Plan` and its layers, and need not know a layer's schedule.

network        the plan of a network: its layers, cycles and latency
layers         a planned layer: cycles, memories with their contents, facts
folding        PE, SIMD and pixels of a layer; the smallest folding for a number of cycles
choice         the folding that somebody asks for, in numbers or in a file
stages         a time-parallel layer: its words, groups, buffers and cycles
window         the way of a convolution over a map
parallel       the stages of a network, from a description and foldings
serial         a time-serial layer, and the stages of a stream
steps          cycles of a stream from the words that have spikes
timing         cycles of images, exactly, from one layer to the next
latency        cycles of pipelines
parameters     widths, thresholds and biases
images         contents of memories, and their files
blocks         which block RAMs a memory takes
cost           logic of the parts that every layer has
parallel_cost  logic and memories of time-parallel layers
serial_cost    logic and memories of time-serial layers and of encoders
estimate       logic and RAM of a network on a board
search         the best folding for a board
activity       the best folding for recordings of a stream
line           what the host link asks of a plan
"""

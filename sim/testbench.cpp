// Streams images through the emitted Verilog and writes down what came out.
//
//   testbench BEATS RESULTS IMAGES TOTAL_BEATS CLASSES [WAVES]
//
// BEATS holds the input beats, each in whole 32-bit words; RESULTS gets the output payloads, 64
// bits each. Standard output gets one line of JSON: cycles, and for every hidden layer the CRC-32
// of all its spikes and of all its membranes, in the order [image][time step][neuron], a byte
// each, or two of a membrane with more than 8 bits. Standard error counts the images. layers.h, made beside the model, names the signals.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif
#include "layers.h"
#include "words.h"

static std::vector<uint32_t> crc_table() {
    std::vector<uint32_t> table(256);
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
        table[byte] = crc;
    }
    return table;
}

static uint32_t crc32(uint32_t crc, const std::vector<uint8_t>& bytes) {
    static const std::vector<uint32_t> table = crc_table();
    crc = ~crc;
    for (uint8_t byte : bytes) crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8;
    return ~crc;
}

template <typename T> static uint32_t field(const T& value, unsigned offset, unsigned width) {
    uint64_t pair = word(value, offset / 32)
        | static_cast<uint64_t>(offset % 32 + width > 32 ? word(value, offset / 32 + 1) : 0) << 32;
    return pair >> offset % 32 & ((1u << width) - 1);
}

struct Layer {
    // channels of a position, with padding too; positions; their width; rows and columns of a pool
    unsigned channels, padded, lanes, steps, bits, positions, width, high, wide;
    unsigned neurons = channels * positions;
    std::vector<uint8_t> spikes = std::vector<uint8_t>(neurons * steps);
    unsigned bytes = bits > 8 ? 2 : 1;  // of a membrane, its current among them
    std::vector<uint8_t> membranes = std::vector<uint8_t>(neurons * steps * bytes);
    unsigned spike_beat = 0, membrane_beat = 0;
    uint32_t spike_crc = 0, membrane_crc = 0;

    // Neuron of a lane of a beat, in the golden model's order; neurons and more are padding. The
    // positions of a pool's square come one after the other.
    unsigned neuron_at(unsigned beat, unsigned lane) const {
        unsigned beats = padded / lanes, channel = beat % beats * lanes + lane;
        unsigned position = beat / beats, inside = position % (high * wide);
        unsigned square = position / (high * wide), squares = width / wide;
        unsigned row = square / squares * high + inside / wide;
        unsigned column = square % squares * wide + inside % wide;
        return channel < channels ? (row * width + column) * channels + channel : neurons;
    }

    template <typename T> void on_spikes(const T& payload) {
        for (unsigned lane = 0; lane < lanes; lane++) {
            unsigned neuron = neuron_at(spike_beat, lane);
            for (unsigned step = 0; step < steps && neuron < neurons; step++)
                spikes[step * neurons + neuron] = field(payload, lane * steps + step, 1);
        }
        if (++spike_beat == padded / lanes * positions) {
            spike_crc = crc32(spike_crc, spikes);
            spike_beat = 0;
        }
    }

    template <typename T> void on_membrane(const T& payload) {
        unsigned step = membrane_beat % steps;
        for (unsigned lane = 0; lane < lanes; lane++) {
            unsigned neuron = neuron_at(membrane_beat / steps, lane);
            if (neuron >= neurons) continue;
            uint32_t value = field(payload, lane * bits, bits);
            for (unsigned byte = 0; byte < bytes; byte++)
                membranes[(step * neurons + neuron) * bytes + byte] = value >> 8 * byte;
        }
        if (++membrane_beat == padded / lanes * positions * steps) {
            membrane_crc = crc32(membrane_crc, membranes);
            membrane_beat = 0;
        }
    }
};

int main(int argc, char** argv) {
    if (argc < 6) { std::fprintf(stderr, "see the comment in testbench.cpp\n"); return 2; }
    const std::vector<uint32_t> beats = read_words(argv[1]);
    std::FILE* results = std::fopen(argv[2], "wb");
    if (!results) { std::perror(argv[2]); return 2; }
    const uint64_t images = std::strtoull(argv[3], nullptr, 10);
    const uint64_t total_beats = std::strtoull(argv[4], nullptr, 10);
    const uint64_t classes = std::strtoull(argv[5], nullptr, 10);
    const unsigned words = beats.size() / total_beats;

    VerilatedContext context;
    auto top = std::make_unique<Vtop>(&context);
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> trace;
    if (argc > 6) {
        context.traceEverOn(true);
        trace = std::make_unique<VerilatedVcdC>();
        top->trace(trace.get(), 99);
        trace->open(argv[6]);
    }
#endif
    Layer layers[] = {
#define LAYER(index, ...) {__VA_ARGS__},
        LAYERS
#undef LAYER
    };

    top->clk = 0; top->rst = 1; top->i_valid = 0; top->o_ready = 1;
    uint64_t cycle = 0, sent = 0, received = 0, first_in = 0, first_out = 0, last_out = 0;
    uint64_t idle = 0;
    while (received < images * classes) {
        if (cycle == 2) top->rst = 0;
        top->i_valid = cycle >= 2 && sent < total_beats;
        if (top->i_valid) assign(top->i_payload, &beats[sent * words], words);
        top->eval();
        if (cycle >= 2) {
            idle++;
            if (top->i_valid && top->i_ready) {
                idle = 0;
                if (sent++ == 0) first_in = cycle;
            }
#define LAYER(index, ...) \
            if (SPIKES_VALID(index)) layers[index].on_spikes(SPIKES(index)); \
            if (MEMBRANE_VALID(index)) layers[index].on_membrane(MEMBRANE(index));
            LAYERS
#undef LAYER
            if (top->o_valid && top->o_ready) {
                uint64_t payload = word(top->o_payload, 0)
                    | static_cast<uint64_t>(word(top->o_payload, 1)) << 32;
                std::fwrite(&payload, sizeof payload, 1, results);
                idle = 0;
                if (++received == classes) first_out = cycle;
                last_out = cycle;
                if (received % (100 * classes) == 0)
                    std::fprintf(stderr, "%llu\n", (unsigned long long)(received / classes));
            }
            if (idle > MOST_IDLE) { std::fprintf(stderr, "no output any more\n"); return 1; }
        }
#if VM_TRACE
        if (trace) trace->dump(10 * cycle);
#endif
        top->clk = 1; top->eval();
#if VM_TRACE
        if (trace) trace->dump(10 * cycle + 5);
#endif
        top->clk = 0;
        cycle++;
    }
    top->final();
#if VM_TRACE
    if (trace) trace->close();
#endif
    std::fclose(results);
    std::printf("{\"latency\": %llu, \"cycles\": %llu, \"after_first\": %llu, \"spikes\": [",
                (unsigned long long)(first_out - first_in + 1),
                (unsigned long long)(last_out - first_in + 1),
                (unsigned long long)(last_out - first_out));
    const char* comma = "";
    for (auto& layer : layers) { std::printf("%s%u", comma, layer.spike_crc); comma = ", "; }
    std::printf("], \"membranes\": [");
    comma = "";
    for (auto& layer : layers) { std::printf("%s%u", comma, layer.membrane_crc); comma = ", "; }
    std::printf("]}\n");
    return 0;
}

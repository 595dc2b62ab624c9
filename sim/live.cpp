// The Verilog of a stream, a request at a time: beats come in, and what the core did with them goes
// out when it is idle again.
//
// Standard input has requests of 32-bit words: the number of beats, the number of words of a result
// that are expected, then the beats, each in INPUT_WORDS words. Standard output has an answer to
// each, little-endian, see _record in live.py. It ends with the requests.

#include <cstring>
#include <memory>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"

#include "layers.h"
#include "words.h"

static const unsigned QUIET = 8;  // cycles without anything, before all is done
static const uint64_t LIMIT = 2000000;  // cycles of a request

template <typename T> static uint32_t field(const T& value, unsigned offset, unsigned width) {
    uint64_t pair = word(value, offset / 32)
        | static_cast<uint64_t>(offset % 32 + width > 32 ? word(value, offset / 32 + 1) : 0) << 32;
    return pair >> offset % 32 & ((1u << width) - 1);
}

template <typename T> static void put(const T* values, std::size_t count) {
    std::fwrite(values, sizeof(T), count, stdout);
}

static bool get(uint32_t* words, std::size_t count) {
    return std::fread(words, sizeof(uint32_t), count, stdin) == count;
}

// Values of a step that come in beats; those beyond its end begin another step.
template <typename Value> struct Values {
    std::vector<Value> values;
    uint32_t beats, beat = 0;

    Values(unsigned size, unsigned lanes) : values(size), beats(size / lanes) {}

    template <typename T> void take(const T& payload, unsigned bits) {
        unsigned lanes = values.size() / beats, first = beat % beats * lanes;
        for (unsigned lane = 0; lane < lanes; lane++)
            values[first + lane] = field(payload, lane * bits, bits);
        beat++;
    }

    void answer() {
        put(&beat, 1);
        put(values.data(), values.size());
        beat = 0;
    }
};

struct Layer {
    Values<uint8_t> spikes;
    Values<uint16_t> membranes;
    unsigned bits;

    Layer(unsigned neurons, unsigned lanes, unsigned bits)
        : spikes(neurons, lanes), membranes(neurons, lanes), bits(bits) {}
};

int main() {
    VerilatedContext context;
    auto top = std::make_unique<Vtop>(&context);
    Values<uint8_t> inputs(INPUTS, INPUT_LANES);
    Layer layers[] = {
#define LAYER(index, ...) Layer(__VA_ARGS__),
        LAYERS
#undef LAYER
    };
    std::vector<uint64_t> results;
    uint64_t cycle = 0;

    top->clk = 0; top->rst = 1; top->i_valid = 0; top->o_ready = 1;
    auto clock = [&] { top->clk = 1; top->eval(); top->clk = 0; cycle++; };
    for (int reset = 0; reset < 2; reset++) { top->eval(); clock(); }
    top->rst = 0;

    uint32_t head[2];
    while (get(head, 2)) {
        std::vector<uint32_t> beats(head[0] * INPUT_WORDS);
        if (!get(beats.data(), beats.size())) break;
        uint64_t start = cycle;
        uint32_t sent = 0, busy = 0, span = 0, quiet = 0;
        results.clear();
        while (sent < head[0] || results.size() < head[1] || quiet < QUIET) {
            top->i_valid = sent < head[0];
            if (top->i_valid)
                assign(top->i_payload, &beats[sent * INPUT_WORDS], INPUT_WORDS);
            top->eval();
            quiet++;
            if (top->i_valid && top->i_ready) { sent++; quiet = 0; }
            if (top->busy) { busy++; quiet = 0; }
            if (INPUT_WRITE) inputs.take(INPUT, 1);
#define LAYER(index, ...) \
            if (SPIKES_VALID(index)) layers[index].spikes.take(SPIKES(index), 1); \
            if (MEMBRANE_VALID(index)) \
                layers[index].membranes.take(MEMBRANE(index), layers[index].bits);
            LAYERS
#undef LAYER
            if (top->o_valid)
                results.push_back(word(top->o_payload, 0)
                    | static_cast<uint64_t>(word(top->o_payload, 1)) << 32);
            clock();
            if (!quiet) span = cycle - start;
            if (cycle - start > LIMIT) { std::fprintf(stderr, "the core does not end\n"); return 1; }
        }
        const uint32_t counts[] = {busy, span, static_cast<uint32_t>(results.size())};
        put(&cycle, 1);
        put(counts, 3);
        inputs.answer();
        for (auto& layer : layers) { layer.spikes.answer(); layer.membranes.answer(); }
        put(results.data(), results.size());
        std::fflush(stdout);
    }
    top->final();
    return 0;
}

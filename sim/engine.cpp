// Runs a program on the emitted engine and writes down what came out.
//
//   engine PROGRAM IMAGES RESULTS SPIKES MEMBRANES COUNT BATCH SCORES STALLS SEED
//
// PROGRAM holds the words that the memory gives, again and again but for the last one, the CRC; or,
// with a model of an SDRAM, those that are written into it first. IMAGES has the pixels of COUNT
// images, a byte each. RESULTS gets the scores and labels, 64 bits each; SPIKES and MEMBRANES, unless they
// are "-", the beats of spikes before pooling, and of membranes, in whole 32-bit words. In STALLS of
// 256 cycles memory, pixels and results wait, each as it comes. Standard output gets one line of
// JSON: cycles, those at the end of the first batch, the last but one, and the last, and those in which the array worked and
// waited
// since the first batch.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#include "words.h"

static std::vector<uint8_t> read_file(const char* name) {
    FILE* file = fopen(name, "rb");
    if (!file) { perror(name); exit(2); }
    std::vector<uint8_t> bytes;
    uint8_t part[65536];
    for (size_t size; (size = fread(part, 1, sizeof part, file));)
        bytes.insert(bytes.end(), part, part + size);
    fclose(file);
    return bytes;
}

static FILE* to_write(const char* name) {
    if (!strcmp(name, "-")) return nullptr;
    FILE* file = fopen(name, "wb");
    if (!file) { perror(name); exit(2); }
    return file;
}

template <typename T> static void put(FILE* file, const T& value, unsigned bits) {
    for (unsigned index = 0; index < (bits + 31) / 32; index++) {
        uint32_t part = word(value, index);
        fwrite(&part, 4, 1, file);
    }
}

// The memory's clock, where it has one: its edges within half a cycle of the other, RATIO thousandths
// of whose frequency it has.
template <typename T> static void memory_clock(T& top, bool rises) {
#if RATIO
    static uint64_t time = 0, edge = 300;  // in thousandths of half a cycle of the memory
    if (rises) top.eval();
    for (time += RATIO; edge < time; edge += 1000) {
        top.memory_clk = !top.memory_clk;
        top.memory_rst = top.rst;
        top.eval();
    }
#endif
}

int main(int count_arguments, char** arguments) {
    if (count_arguments != 11) { fprintf(stderr, "ten arguments\n"); return 2; }
    auto program = read_file(arguments[1]), images = read_file(arguments[2]);
    FILE *results = to_write(arguments[3]), *spikes = to_write(arguments[4]),
         *membranes = to_write(arguments[5]);
    uint64_t count = strtoull(arguments[6], nullptr, 10);
    unsigned batch = atoi(arguments[7]), scores = atoi(arguments[8]), stalls = atoi(arguments[9]);
    uint64_t random = strtoull(arguments[10], nullptr, 10) * 2 + 1;
    auto context = std::make_unique<VerilatedContext>();
    auto top = std::make_unique<Vtop>(context.get());
    auto chance = [&] {
        random ^= random << 13; random ^= random >> 7; random ^= random << 17;
        return (random >> 24 & 255) >= stalls;
    };

    const size_t words = program.size() / 4;
    bool loaded = !MEMORY;
    uint64_t cycles = 0, begun = 0, first = 0, before = 0, end = 0, works = 0, waits = 0, idle = 0, got = 0;
    size_t at = 0, pixel = 0;
    const uint64_t wanted = count * scores, most_idle = 4000000;
    top->clk = 0; top->rst = 1; top->images = batch - 1;
    top->program_valid = top->i_valid = top->o_ready = 0;
    bool word_waits = false, pixel_waits = false;
    while (got < wanted) {
        if (cycles == 4) top->rst = 0;
#if MEMORY
        if (!loaded && top->written == words) { loaded = true; top->present = 1; }
        if (top->bad) { fprintf(stderr, "the program was refused\n"); return 4; }
        if (!word_waits) top->program_valid = at < words && top->ready;
        if (!top->good) begun = cycles;
#else
        if (!word_waits) top->program_valid = chance();
#endif
        if (!pixel_waits) top->i_valid = pixel < images.size() && chance();
        top->o_ready = chance();
        uint32_t next;
        memcpy(&next, &program[at < words ? 4 * at : 0], 4);
        top->program_payload = next;
        top->i_payload = pixel < images.size() ? images[pixel] : 0;
        top->eval();
        bool took = !top->rst && top->program_valid && top->program_ready;
        bool sent = !top->rst && top->i_valid && top->i_ready;
        word_waits = top->program_valid && !took;
        pixel_waits = top->i_valid && !sent;
        idle = loaded ? idle + 1 : 0;
        if (!top->rst) {
            if (top->o_valid && top->o_ready) {
                uint64_t payload = top->o_payload;
                fwrite(&payload, 8, 1, results);
                idle = 0;
                end = cycles;
                if (++got == uint64_t(scores) * batch) first = cycles;
                if (got == wanted - uint64_t(scores) * batch) before = cycles;
            }
            if (spikes && top->spikes_valid) put(spikes, top->spikes, TRACE_BITS);
            if (membranes && top->membrane_valid)
                put(membranes, top->membrane, MEMBRANE_BITS);
            if (first) {
                works += top->works;
                waits += top->waits;
            }
        }
        if (idle > most_idle) { fprintf(stderr, "hangs\n"); return 3; }
        top->clk = 1; memory_clock(*top, true); top->eval();
        top->clk = 0; memory_clock(*top, false);
        if (took) at = at + 1 < words - 1 + MEMORY ? at + 1 : MEMORY ? words : 0;
        if (sent) pixel++;
        cycles++;
    }
    top->final();
    fclose(results);
    if (spikes) fclose(spikes);
    if (membranes) fclose(membranes);
    printf("{\"cycles\": %llu, \"begun\": %llu, \"first\": %llu, \"before\": %llu, \"end\": %llu, \"works\": %llu, \"waits\": %llu}\n",
           (unsigned long long)cycles, (unsigned long long)begun, (unsigned long long)first,
           (unsigned long long)before, (unsigned long long)end,
           (unsigned long long)works, (unsigned long long)waits);
}

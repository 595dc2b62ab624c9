// Writes an image into a memory and reads it, as sim/memory.py has them side by side.
//
//   memory < COMMANDS
//
//   seed N          the words that follow from here on, and what the consumer does
//   write N GAPS    offer N words; GAPS of 100 cycles in between have none
//   rewind
//   go N            the image is N words long: read it from its start
//   read N STALLS   take N words; in STALLS of 100 cycles the consumer is not ready
//   hold N          N cycles without a consumer
//   stop N          end reading, for N cycles
//   complaints      print `0 COMPLAINTS`, a bit for each model that has one
//   flip N BITS     word N of what is expected has these bits changed
//
// All words are compared with those of the seed. Standard output gets a line `WORDS CYCLES` for each
// read, the cycles from the first word to the last. 3: a word was wrong. 4: nothing happens.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

#include "Vtop.h"
#include "verilated.h"

static uint64_t mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

struct Bench {
    VerilatedContext context;
    std::unique_ptr<Vtop> top = std::make_unique<Vtop>(&context);
    uint64_t cycle = 0, chance = 0;
    uint32_t seed = 0, place = 0, length = 1, written = 0, waited = 0;
    std::map<uint32_t, uint32_t> flipped;
    bool held = false;
    uint32_t held_word = 0;

    uint32_t word(uint32_t index) {
        const auto flip = flipped.find(index);
        return mix(static_cast<uint64_t>(seed) << 32 | index)
            ^ (flip == flipped.end() ? 0 : flip->second);
    }
    bool percent(unsigned share) { return mix(chance++ ^ 0xABCDEF) % 100 < share; }
    void check() {  // a word that was offered stays
        if (held && top->go && (!top->word_valid || top->word != held_word)) {
            std::printf("cycle %lu: an offered word is gone\n", static_cast<unsigned long>(cycle));
            std::exit(3);
        }
        held = top->go && top->word_valid && !top->word_ready;
        held_word = top->word;
    }
    void edge() {
        check();
        top->clk = 1; top->eval();
        top->clk = 0; top->eval();
        cycle++;
        if (++waited > 1'000'000) { std::puts("nothing happens"); std::exit(4); }
    }
    void write(uint32_t count, unsigned gaps) {
        for (uint32_t done = 0; done < count; edge()) {
            top->data_valid = !percent(gaps);
            top->data = word(written + done);
            top->eval();
            if (top->data_valid && top->data_ready) { done++; waited = 0; }
        }
        top->data_valid = 0;
        written += count;
    }
    void read(uint32_t count, unsigned stalls) {
        uint64_t first = cycle;
        for (uint32_t done = 0; done < count; edge()) {
            top->word_ready = !percent(stalls);
            top->eval();
            if (!top->word_valid || !top->word_ready) continue;
            if (top->word != word(place)) {
                std::printf("cycle %lu: word %u is %08x, not %08x\n",
                            static_cast<unsigned long>(cycle), place, top->word, word(place));
                std::exit(3);
            }
            place = place + 1 == length ? 0 : place + 1;
            if (!done++) first = cycle;
            waited = 0;
        }
        top->word_ready = 0;
        top->eval();
        std::printf("%u %lu\n", count, static_cast<unsigned long>(cycle - first));
    }
};

int main() {
    auto bench = std::make_unique<Bench>();
    auto& top = *bench->top;
    top.clk = 0; top.rst = 1; top.eval();
    for (int cycle = 0; cycle < 4; cycle++) bench->edge();
    top.rst = 0;
    char name[16];
    unsigned a, b;
    while (std::scanf("%15s", name) == 1) {
        a = b = 0;
        const bool two = !std::strcmp(name, "write") || !std::strcmp(name, "read")
            || !std::strcmp(name, "flip");
        const bool none = !std::strcmp(name, "rewind") || !std::strcmp(name, "complaints");
        if (!none && std::scanf("%u", &a) != 1) return 2;
        if (two && std::scanf("%u", &b) != 1) return 2;
        bench->waited = 0;
        if (!std::strcmp(name, "seed")) { bench->seed = bench->chance = a; bench->flipped.clear(); }
        else if (!std::strcmp(name, "write")) bench->write(a, b);
        else if (!std::strcmp(name, "rewind")) {
            top.rewind = 1; bench->edge(); top.rewind = 0;
            bench->written = 0;
        } else if (!std::strcmp(name, "go")) {
            top.length = bench->length = a;
            top.go = 1;
            bench->place = 0;
            top.eval();
        } else if (!std::strcmp(name, "read")) bench->read(a, b);
        else if (!std::strcmp(name, "hold")) while (a--) { bench->edge(); bench->waited = 0; }
        else if (!std::strcmp(name, "stop")) {
            top.go = 0;
            top.eval();
            while (a--) bench->edge();
        } else if (!std::strcmp(name, "complaints")) std::printf("0 %u\n", top.complaints);
        else if (!std::strcmp(name, "flip")) bench->flipped[a] = b;
        else return 2;
    }
    return 0;
}

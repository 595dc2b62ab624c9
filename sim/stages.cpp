// Streams images through a network in its harness and writes down what came out.
//
//   stages LOAD BEATS RESULTS IMAGES BEATS_PER_IMAGE BYTES_PER_IMAGE DIGEST_BITS IDLE
//
// LOAD holds the bytes of a memory that starts empty, each in a 32-bit word, if HARNESS_LOAD is
// defined; BEATS the input beats, each in whole 32-bit words. RESULTS gets the bytes of all classes
// and then the bits of the digests, a byte each. It is shorter where the network stops before the
// end: takes nothing and gives nothing for IDLE cycles. Standard error counts the images.

#include <memory>

#include "Vtop.h"
#include "words.h"

const uint64_t START = 2000;  // cycles of the board's reset, and some more

int main(int argc, char** argv) {
    if (argc < 9) { std::fprintf(stderr, "see the comment in stages.cpp\n"); return 2; }
    const std::vector<uint32_t> load = read_words(argv[1]);
    const std::vector<uint32_t> beats = read_words(argv[2]);
    std::FILE* results = std::fopen(argv[3], "wb");
    if (!results) { std::perror(argv[3]); return 2; }
    const uint64_t images = std::strtoull(argv[4], nullptr, 10);
    const uint64_t total_beats = images * std::strtoull(argv[5], nullptr, 10);
    const uint64_t bytes = std::strtoull(argv[6], nullptr, 10);
    const uint64_t digest_bits = std::strtoull(argv[7], nullptr, 10);
    const uint64_t most_idle = std::strtoull(argv[8], nullptr, 10);
    const unsigned words = beats.size() / total_beats;

    VerilatedContext context;
    context.commandArgs(argc, argv);  // +verilator+rand+reset: nothing may depend on an X
    auto top = std::make_unique<Vtop>(&context);
    const auto edge = [&] { top->clk = 1; top->eval(); top->clk = 0; };

    top->clk = 0; top->i_valid = 0; top->finish = 0;
#ifdef HARNESS_LOAD
    top->load = 0;
#endif
    for (uint64_t cycle = 0; cycle < START; cycle++) { top->eval(); edge(); }
#ifdef HARNESS_LOAD
    top->load = 1; top->i_valid = 1;
    for (uint32_t byte : load) { assign(top->i_payload, &byte, 1); top->eval(); edge(); }
    top->load = 0; top->i_valid = 0;
    top->eval(); edge();
#endif
    uint64_t sent = 0, received = 0;
    for (uint64_t idle = 0; received < images * bytes && idle < most_idle; idle++) {
        top->i_valid = sent < total_beats;
        if (top->i_valid) assign(top->i_payload, &beats[sent * words], words);
        top->eval();
        if (top->i_valid && top->i_ready) { sent++; idle = 0; }
        if (top->result_valid) {
            std::fputc(top->result, results);
            idle = 0;
            if (++received % (10 * bytes) == 0)
                std::fprintf(stderr, "%llu\n", (unsigned long long)(received / bytes));
        }
        edge();
    }
    top->finish = 1;
    for (uint64_t bit = 0; received == images * bytes && bit < digest_bits; bit++) {
        top->eval();
        std::fputc(top->digest, results);
        edge();
    }
    top->final();
    std::fclose(results);
    return 0;
}

// An accelerator core in the place of a board: standard input and output are the serial line.
//
//   link DIVISOR
//
// The bytes that come in are put on rx bit by bit, DIVISOR cycles each; what tx sends is sampled in
// the middle of its bits and goes out. Nothing else is looked at. Simulated time stands still while
// there is nothing to do; the program ends with its input.

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <poll.h>
#include <unistd.h>

#include "Vtop.h"
#include "verilated.h"

// Host to device: start bit, 8 data bits, stop bit
struct Sender {
    unsigned divisor, timer = 0, bits = 1;  // the stop bit, alone, is the end
    std::deque<uint8_t> waiting;

    bool idle() const { return waiting.empty() && bits == 1 && timer == 0; }
    bool level() {
        if (timer) {
            timer--;
        } else if (bits != 1) {
            bits >>= 1;
            timer = divisor - 1;
        } else if (!waiting.empty()) {
            bits = waiting.front() << 1 | 0x200;
            waiting.pop_front();
            timer = divisor - 1;
        }
        return bits & 1;
    }
};

// Device to host
struct Receiver {
    unsigned divisor, timer = 0, bit = 0, byte = 0;
    bool active = false;

    void level(bool high) {
        if (!active) {
            if (high) return;
            active = true; timer = divisor / 2; bit = 0;
        }
        if (timer--) return;
        timer = divisor - 1;
        if (bit > 0 && bit < 9) byte = byte >> 1 | high << 7;
        if (bit++ == 9) {
            active = false;
            if (!high) std::fprintf(stderr, "no stop bit from the device\n");
            uint8_t out = byte;
            while (write(STDOUT_FILENO, &out, 1) < 0 && errno == EINTR) {}
        }
    }
};

int main(int argc, char** argv) {
    if (argc != 2) { std::fprintf(stderr, "see the comment in link.cpp\n"); return 2; }
    const unsigned divisor = std::strtoul(argv[1], nullptr, 10);
    VerilatedContext context;
    auto top = std::make_unique<Vtop>(&context);
    Sender sender{divisor};
    Receiver receiver{divisor};

    top->clk = 0; top->rst = 1; top->rx = 1;
    unsigned quiet = 0;
    for (uint64_t cycle = 0;; cycle++) {
        if (cycle == 4) top->rst = 0;
        quiet = sender.idle() && !receiver.active && !top->busy ? quiet + 1 : 0;
        const bool still = quiet > 20 * divisor;
        if (still || cycle % 256 == 0) {
            pollfd input{STDIN_FILENO, POLLIN, 0};
            if (poll(&input, 1, still ? -1 : 0) > 0) {
                uint8_t buffer[4096];
                const ssize_t size = read(STDIN_FILENO, buffer, sizeof buffer);
                if (size == 0 || (size < 0 && errno != EINTR)) break;  // EIO: nobody has it open
                if (size > 0) sender.waiting.insert(sender.waiting.end(), buffer, buffer + size);
            }
        }
        top->rx = sender.level();
        top->eval();
        receiver.level(top->tx);
        top->clk = 1; top->eval();
        top->clk = 0;
    }
    top->final();
    return 0;
}

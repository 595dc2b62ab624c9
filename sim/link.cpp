// An accelerator core in the place of a board: standard input and output are its line to a host.
//
//   link CYCLES
//
// The bytes that come in go to the pins, CYCLES a bit, and those that come back go out: see uart.h
// or spi.h, of which one is here as line.h. Nothing else is looked at. Simulated time stands still
// while there is nothing to do; the program ends with its input.

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <poll.h>
#include <unistd.h>

#include "Vtop.h"
#include "line.h"
#include "verilated.h"

int main(int argc, char** argv) {
    if (argc != 2) { std::fprintf(stderr, "see the comment in link.cpp\n"); return 2; }
    const unsigned cycles = std::strtoul(argv[1], nullptr, 10);
    VerilatedContext context;
    auto top = std::make_unique<Vtop>(&context);
    Line line(cycles);

    top->clk = 0; top->rst = 1;
    unsigned quiet = 0;
    for (uint64_t cycle = 0;; cycle++) {
        if (cycle == 4) top->rst = 0;
        quiet = line.idle() && !top->busy ? quiet + 1 : 0;
        const bool still = quiet > 20 * cycles;
        if (still || cycle % 256 == 0) {
            pollfd input{STDIN_FILENO, POLLIN, 0};
            if (poll(&input, 1, still ? -1 : 0) > 0) {
                uint8_t buffer[4096];
                const ssize_t size = read(STDIN_FILENO, buffer, sizeof buffer);
                if (size == 0 || (size < 0 && errno != EINTR)) break;  // EIO: nobody has it open
                if (size > 0) line.waiting().insert(line.waiting().end(), buffer, buffer + size);
            }
        }
        line.drive(*top);
        top->eval();
        const int byte = line.sample(*top);
        if (byte >= 0) {
            const uint8_t out = byte;
            while (write(STDOUT_FILENO, &out, 1) < 0 && errno == EINTR) {}
        }
        top->clk = 1; top->eval();
        top->clk = 0;
    }
    top->final();
    return 0;
}

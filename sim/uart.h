// A serial line at the pins rx and tx of a core.
//
// The bytes that wait are put on rx bit by bit, so many cycles each; what tx sends is sampled in the
// middle of its bits.

#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>

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

    // The byte whose stop bit this is, or -1
    int level(bool high) {
        if (!active) {
            if (high) return -1;
            active = true; timer = divisor / 2; bit = 0;
        }
        if (timer--) return -1;
        timer = divisor - 1;
        if (bit > 0 && bit < 9) byte = byte >> 1 | high << 7;
        if (bit++ != 9) return -1;
        active = false;
        if (!high) std::fprintf(stderr, "no stop bit from the device\n");
        return byte;
    }
};

struct Line {
    Sender sender;
    Receiver receiver;

    explicit Line(unsigned cycles) : sender{cycles}, receiver{cycles} {}
    bool idle() const { return sender.idle() && !receiver.active; }
    std::deque<uint8_t>& waiting() { return sender.waiting; }
    template <typename Top> void drive(Top& top) { top.rx = sender.level(); }
    template <typename Top> int sample(Top& top) { return receiver.level(top.tx); }
};

// An SPI master, mode 0, at the pins cs, sck, mosi and miso of a core.
//
// Each byte that waits is clocked, so many cycles a bit; each gives one back. Chip select is low
// as long as there are any.

#pragma once

#include <cstdint>
#include <deque>

struct Line {
    static constexpr unsigned LEAD = 4;  // cycles from an edge of chip select to the next edge

    unsigned cycles, timer = 0;  // of a bit; until the next edge
    unsigned edges = 0;          // of SCK to come in this byte
    uint8_t there = 0, back = 0;
    bool selected = false, high = false, read = false;
    std::deque<uint8_t> bytes;

    explicit Line(unsigned cycles) : cycles(cycles) {}
    bool idle() const { return bytes.empty() && !selected && !timer; }
    std::deque<uint8_t>& waiting() { return bytes; }

    void begin() {
        if (bytes.empty()) return;
        there = bytes.front();
        bytes.pop_front();
        edges = 16;
    }
    void edge() {
        if (edges) {
            edges--;
            high = read = !high;
            timer = high ? cycles / 2 : cycles - cycles / 2;
            if (!edges) begin();  // its first bit is there when SCK falls
        } else if (selected || !bytes.empty()) {
            selected = !selected;
            timer = LEAD;
            if (selected) begin();
        }
    }
    template <typename Top> void drive(Top& top) {
        read = false;
        if (timer) timer--;
        if (!timer) edge();
        top.cs = !selected;
        top.sck = high;
        top.mosi = edges && there >> (edges - 1) / 2 & 1;
    }

    // The byte whose last bit was read, or -1
    template <typename Top> int sample(Top& top) {
        if (!read) return -1;
        back = back << 1 | top.miso;
        return edges == 1 ? back : -1;
    }
};

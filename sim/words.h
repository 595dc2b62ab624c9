// Ports of a Verilated model and files of 32-bit words.

#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "verilated.h"

// Verilator has plain integers up to 64 bits and arrays of 32-bit words beyond
template <typename T> static uint32_t word(const T& value, unsigned index) {
    return static_cast<uint64_t>(value) >> (32 * index);
}
template <std::size_t N> static uint32_t word(const VlWide<N>& value, unsigned index) {
    return index < N ? value[index] : 0;
}
template <typename T> static void assign(T& value, const uint32_t* words, unsigned count) {
    value = static_cast<T>(words[0] | (count > 1 ? static_cast<uint64_t>(words[1]) << 32 : 0));
}
template <std::size_t N>
static void assign(VlWide<N>& value, const uint32_t* words, unsigned count) {
    for (unsigned index = 0; index < count; index++) value[index] = words[index];
}

static std::vector<uint32_t> read_words(const char* path) {
    std::FILE* file = std::fopen(path, "rb");
    if (!file) { std::perror(path); std::exit(2); }
    std::fseek(file, 0, SEEK_END);
    std::vector<uint32_t> words(std::ftell(file) / sizeof(uint32_t));
    std::rewind(file);
    if (std::fread(words.data(), sizeof(uint32_t), words.size(), file) != words.size()) {
        std::perror(path); std::exit(2);
    }
    std::fclose(file);
    return words;
}

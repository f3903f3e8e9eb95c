#pragma once
#include <functional>

struct Size {
    unsigned x, y, z;
};
using Work = std::function<void()>;

// A launch of a kernel, its arguments copied.
Work bound(const char* kernel, void** parameters, Size grid, Size block);

// The kernels as C++, found by name. Those with inline PTX only take time: 10 ns a pass.
#include "kernels.h"

#include <cstring>
#include <tuple>
#include <utility>

#include "host.h"
// The sources themselves, all in one translation unit.
#include "arithmetic.cu"
#include "memory.cu"
#include "timing.cu"

static void matrix(u64, u32, u32, u32 passes) {
    if (threadIdx.x != 0 || blockIdx.x != 0) return;
    const u64 end = exact_ns() + 10ULL * passes;
    while (exact_ns() < end) {
    }
}

template <typename... A, std::size_t... I>
static std::tuple<A...> loaded(void** parameters, std::index_sequence<I...>) {
    return {*static_cast<A*>(parameters[I])...};
}

// Copy the arguments now, as the driver does, and return what runs every thread of the grid in turn.
template <typename... A>
static Work bind(void (*kernel)(A...), void** parameters, Size grid, Size block) {
    const auto arguments = loaded<A...>(parameters, std::index_sequence_for<A...>{});
    return [=] {
        gridDim = {grid.x, grid.y, grid.z};
        blockDim = {block.x, block.y, block.z};
        for (u32 b = 0; b < grid.x; ++b)
            for (u32 t = 0; t < block.x; ++t) {
                blockIdx = {b, 0, 0};
                threadIdx = {t, 0, 0};
                std::apply(kernel, arguments);
            }
    };
}

#define KERNEL(name) \
    if (!std::strcmp(kernel, #name)) return bind(name, parameters, grid, block);

Work bound(const char* kernel, void** parameters, Size grid, Size block) {
    KERNEL(empty)
    KERNEL(tick_probe)
    KERNEL(stamp)
    KERNEL(gate)
    KERNEL(spin)
    KERNEL(barrier)
    KERNEL(fill_random)
    KERNEL(read_sweep)
    KERNEL(write_sweep)
    KERNEL(copy_sweep)
    KERNEL(triad)
    KERNEL(chase_link)
    KERNEL(chase_l1)
    KERNEL(chase_l2)
    KERNEL(fma_f32)
    KERNEL(fma_f64)
    KERNEL(mad_i32)
    return bind(matrix, parameters, grid, block);
}

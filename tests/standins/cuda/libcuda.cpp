// A stand-in libcuda.so.1: one worker thread runs what is enqueued, in order; kernels are their C++ builds.
// Tests steer it through standin_*.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels.h"

typedef uint64_t Handle;
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
       INVALID_CONTEXT = 201, NO_BINARY = 209, NOT_FOUND = 500, LAUNCH_FAILED = 719 };

struct Module {
    std::string image;
    bool ptx;
};
struct Function {
    std::string name;
};
struct Event {
    std::atomic<bool> done{false};
    double ns = 0;
};
struct LaunchConfig {
    Size grid, block;
    unsigned shared_bytes;
    void* stream;
    void* attributes;
    unsigned attribute_count;
};

// Never destroyed: the worker waits on them until the process ends.
static std::mutex& lock = *new std::mutex;
static std::condition_variable& changed = *new std::condition_variable;
static std::deque<Work>& queue = *new std::deque<Work>;
static bool running = false;
static std::map<std::string, int> failures;
static std::atomic<bool> any_failure{false};
static std::map<std::string, long> settings;
static std::map<void*, size_t> allocations;
static size_t used = 0;
static std::atomic<long> launches{0}, no_launch{0};
static thread_local std::vector<Handle> contexts;

static long setting(const char* name, long otherwise) {
    const auto found = settings.find(name);
    return found == settings.end() ? otherwise : found->second;
}

extern "C" void standin_fail(const char* call, int code) {
    if (code) failures[call] = code;
    else failures.erase(call);
    any_failure = !failures.empty();
}
extern "C" void standin_set(const char* name, long value) {
    settings[name] = value;
    no_launch = setting("no_launch", 0);
}
extern "C" void standin_reset() {
    failures.clear();
    any_failure = false;
    settings.clear();
    no_launch = 0;
    launches = 0;
}
extern "C" long standin_launches() { return launches; }
extern "C" long standin_used() { return (long)used; }
extern "C" long standin_contexts() { return (long)contexts.size(); }

#define CALL(name)                                          \
    do {                                                    \
        if (any_failure) {                                  \
            const auto found = failures.find(#name);        \
            if (found != failures.end()) return found->second; \
        }                                                   \
    } while (0)
#define API extern "C" int

static double now_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

static void worker() {
    std::unique_lock<std::mutex> held(lock);
    while (true) {
        changed.wait(held, [] { return !queue.empty(); });
        Work work = std::move(queue.front());
        queue.pop_front();
        running = true;
        held.unlock();
        work();
        held.lock();
        running = false;
        changed.notify_all();
    }
}
static void enqueue(Work work) {
    std::lock_guard<std::mutex> held(lock);
    static bool started = (std::thread(worker).detach(), true);
    (void)started;
    queue.push_back(std::move(work));
    changed.notify_all();
}
static void drain() {
    std::unique_lock<std::mutex> held(lock);
    changed.wait(held, [] { return queue.empty() && !running; });
}

API cuInit(unsigned) { CALL(cuInit); return OK; }
API cuDriverGetVersion(int* version) { CALL(cuDriverGetVersion); *version = (int)setting("version", 12090); return OK; }
API cuGetErrorName(int code, const char** name) {
    static const std::map<int, const char*> names = {
        {2, "CUDA_ERROR_OUT_OF_MEMORY"}, {46, "CUDA_ERROR_DEVICE_UNAVAILABLE"}, {100, "CUDA_ERROR_NO_DEVICE"},
        {200, "CUDA_ERROR_INVALID_IMAGE"}, {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"}, {500, "CUDA_ERROR_NOT_FOUND"},
        {719, "CUDA_ERROR_LAUNCH_FAILED"}, {800, "CUDA_ERROR_NOT_PERMITTED"}};
    const auto found = names.find(code);
    *name = found == names.end() ? nullptr : found->second;
    return found == names.end() ? INVALID_VALUE : OK;
}
API cuGetErrorString(int code, const char** text) {
    const char* name;
    *text = cuGetErrorName(code, &name) ? nullptr : "as the stand-in was told";
    return *text ? OK : INVALID_VALUE;
}
API cuDeviceGetCount(int* count) { CALL(cuDeviceGetCount); *count = (int)setting("devices", 1); return OK; }
API cuDeviceGet(int* device, int index) {
    CALL(cuDeviceGet);
    if (index < 0 || index >= setting("devices", 1)) return INVALID_DEVICE;
    *device = index;
    return OK;
}
API cuDeviceGetName(char* name, int size, int) { CALL(cuDeviceGetName); snprintf(name, size, "Stand-in GPU"); return OK; }
API cuDeviceGetAttribute(int* value, int attribute, int) {
    CALL(cuDeviceGetAttribute);
    switch (attribute) {
        case 16: *value = 4; return OK;
        case 38: *value = 128 << 10; return OK;
        case 75: *value = (int)setting("major", 9); return OK;
        case 76: *value = (int)setting("minor", 0); return OK;
    }
    return INVALID_VALUE;
}
API cuDeviceCanAccessPeer(int* can, int, int) { CALL(cuDeviceCanAccessPeer); *can = (int)setting("peers", 1); return OK; }
API cuDevicePrimaryCtxRetain(Handle* context, int device) {
    CALL(cuDevicePrimaryCtxRetain);
    *context = 0x1000 + device;
    return OK;
}
API cuDevicePrimaryCtxRelease_v2(int) { CALL(cuDevicePrimaryCtxRelease_v2); return OK; }
API cuCtxPushCurrent_v2(Handle context) { CALL(cuCtxPushCurrent_v2); contexts.push_back(context); return OK; }
API cuCtxPopCurrent_v2(Handle* context) {
    CALL(cuCtxPopCurrent_v2);
    if (contexts.empty()) return INVALID_CONTEXT;
    *context = contexts.back();
    contexts.pop_back();
    return OK;
}
API cuCtxSynchronize() { CALL(cuCtxSynchronize); if (contexts.empty()) return INVALID_CONTEXT; drain(); return OK; }
API cuCtxEnablePeerAccess(Handle, unsigned) { CALL(cuCtxEnablePeerAccess); return OK; }

// Machine code says for what it is: 'a' code runs there alone, other code on later ones of its major.
static bool fits(const unsigned char* elf) {
    const bool newer = elf[51] == 6;
    const int architecture = newer ? elf[49] : elf[48];
    const bool specific = (newer ? elf[48] : elf[49]) & 8;
    const int own = (int)(setting("major", 9) * 10 + setting("minor", 0));
    return specific ? own == architecture : own / 10 == architecture / 10 && own >= architecture;
}
API cuModuleLoadData(Handle* module, const char* image) {
    CALL(cuModuleLoadData);
    if (contexts.empty()) return INVALID_CONTEXT;
    if (!memcmp(image, "\177ELF", 4)) {
        if (!fits(reinterpret_cast<const unsigned char*>(image))) return NO_BINARY;
        // The section headers stand last or the program headers do: take the later end.
        uint64_t at[2], ends[2];
        uint16_t sizes[4];
        memcpy(at, image + 32, 16);
        memcpy(sizes, image + 54, 8);
        ends[0] = at[0] + sizes[0] * sizes[1];
        ends[1] = at[1] + sizes[2] * sizes[3];
        *module = (Handle) new Module{std::string(image, std::max(ends[0], ends[1])), false};
        return OK;
    }
    if (!strstr(image, ".version")) return INVALID_IMAGE;
    *module = (Handle) new Module{image, true};
    return OK;
}
API cuModuleUnload(Handle module) { CALL(cuModuleUnload); delete (Module*)module; return OK; }
API cuModuleGetFunction(Handle* function, Handle module, const char* name) {
    CALL(cuModuleGetFunction);
    const Module* m = (Module*)module;
    const std::string wanted = m->ptx ? std::string(".entry ") + name + "(" : std::string(".text.") + name + '\0';
    if (m->image.find(wanted) == std::string::npos) return NOT_FOUND;
    *function = (Handle) new Function{name};
    return OK;
}
API cuFuncSetAttribute(Handle, int, int) { CALL(cuFuncSetAttribute); return OK; }
API cuFuncGetAttribute(int* value, int, Handle) {
    CALL(cuFuncGetAttribute);
    *value = 0;
    return OK;
}
API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Handle, int, size_t) {
    CALL(cuOccupancyMaxActiveBlocksPerMultiprocessor);
    *blocks = 1;
    return OK;
}
API cuLaunchKernelEx(const LaunchConfig* config, Handle function, void** parameters, void**) {
    CALL(cuLaunchKernelEx);
    if (contexts.empty()) return INVALID_CONTEXT;
    ++launches;
    if (no_launch) return OK;
    enqueue(bound(((Function*)function)->name.c_str(), parameters, config->grid, config->block));
    return OK;
}

API cuMemGetInfo_v2(size_t* free, size_t* total) {
    CALL(cuMemGetInfo_v2);
    *total = setting("memory", 64 << 20);
    *free = *total - used;
    return OK;
}
API cuMemAlloc_v2(Handle* address, size_t size) {
    CALL(cuMemAlloc_v2);
    if (used + size > (size_t)setting("memory", 64 << 20)) return OUT_OF_MEMORY;
    void* block = aligned_alloc(256, (size + 255) / 256 * 256);
    allocations[block] = size;
    used += size;
    *address = (Handle)block;
    return OK;
}
API cuMemFree_v2(Handle address) {
    CALL(cuMemFree_v2);
    drain();
    const auto found = allocations.find((void*)address);
    if (found == allocations.end()) return INVALID_VALUE;
    used -= found->second;
    allocations.erase(found);
    free((void*)address);
    return OK;
}
API cuMemHostAlloc(void** address, size_t size, unsigned) { CALL(cuMemHostAlloc); *address = calloc(1, size); return OK; }
API cuMemFreeHost(void* address) { CALL(cuMemFreeHost); drain(); free(address); return OK; }
API cuMemHostGetDevicePointer_v2(Handle* device, void* host, unsigned) {
    CALL(cuMemHostGetDevicePointer_v2);
    *device = (Handle)host;
    return OK;
}
API cuMemsetD8Async(Handle to, unsigned char value, size_t size, Handle) {
    CALL(cuMemsetD8Async);
    enqueue([=] { memset((void*)to, value, size); });
    return OK;
}
static int copy(Handle to, Handle from, size_t size) {
    enqueue([=] { memcpy((void*)to, (void*)from, size); });
    return OK;
}
API cuMemcpyHtoDAsync_v2(Handle to, Handle from, size_t n, Handle) { CALL(cuMemcpyHtoDAsync_v2); return copy(to, from, n); }
API cuMemcpyDtoHAsync_v2(Handle to, Handle from, size_t n, Handle) { CALL(cuMemcpyDtoHAsync_v2); return copy(to, from, n); }
API cuMemcpyDtoDAsync_v2(Handle to, Handle from, size_t n, Handle) { CALL(cuMemcpyDtoDAsync_v2); return copy(to, from, n); }
API cuMemcpyPeerAsync(Handle to, Handle, Handle from, Handle, size_t n, Handle) {
    CALL(cuMemcpyPeerAsync);
    return copy(to, from, n);
}

API cuStreamSynchronize(Handle) { CALL(cuStreamSynchronize); drain(); return OK; }
API cuEventCreate(Handle* event, unsigned) { CALL(cuEventCreate); *event = (Handle) new Event; return OK; }
API cuEventRecord(Handle event, Handle) {
    CALL(cuEventRecord);
    Event* e = (Event*)event;
    e->done = false;
    enqueue([=] { e->ns = now_ns(); e->done = true; });
    return OK;
}
API cuEventSynchronize(Handle event) {
    CALL(cuEventSynchronize);
    std::unique_lock<std::mutex> held(lock);
    changed.wait(held, [=] { return ((Event*)event)->done.load(); });
    return OK;
}
API cuEventElapsedTime(float* ms, Handle begin, Handle end) {
    CALL(cuEventElapsedTime);
    *ms = (float)((((Event*)end)->ns - ((Event*)begin)->ns) / 1e6);
    return OK;
}
API cuEventDestroy_v2(Handle event) { CALL(cuEventDestroy_v2); delete (Event*)event; return OK; }

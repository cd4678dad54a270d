// CUDA's built-ins on a CPU: the threads of a block are fibers that meet at barriers and shuffles and otherwise run in
// a random order, so that a kernel that lacks a barrier computes something else. Blocks run one after the other.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static
#define __restrict__

#if SYMRNN_STORAGE == 16
typedef _Float16 __half;
#endif

using std::cos; using std::erf; using std::erfc; using std::exp; using std::expm1; using std::fabs; using std::log;
using std::log1p; using std::pow; using std::sin; using std::sqrt; using std::tanh;

namespace host {

struct Index { unsigned x, y, z; };

enum State { ready, at_barrier, at_warp, done };

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    State state;
    Index thread;
};

const size_t stack_size = 64 * 1024;
static std::vector<Fiber> fibers;
static size_t running, launched;
static ucontext_t scheduler;
static bool fibered;
struct Order  // splitmix64: <random> takes longer to compile than the kernels
{
    uint64_t state = 0;
    void seed(uint64_t given) { state = given; }
    uint64_t operator()()
    {
        uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
};
static Order order;
static void (*body)(void*);
static void* arguments;
static unsigned long long slots[1024];

}  // namespace host

static host::Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {

inline void fail(const char* what)
{
    std::fprintf(stderr, "cuda on the cpu: %s\n", what);
    std::abort();
}

inline void wait(State why)
{
    if (!fibered) fail("a kernel without barriers met one");
    Fiber& self = fibers[running];
    self.state = why;
    swapcontext(&self.context, &scheduler);
    threadIdx = self.thread;
}

inline void enter()
{
    body(arguments);
    fibers[running].state = done;
    swapcontext(&fibers[running].context, &scheduler);
}

inline void begin(size_t count)
{
    if (fibers.size() < count) fibers.resize(count);
    for (size_t k = 0; k < count; ++k) {
        Fiber& f = fibers[k];
        f.stack.resize(stack_size);
        f.state = ready;
        f.thread = {unsigned(k % blockDim.x), unsigned(k / blockDim.x), 0};
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.data();
        f.context.uc_stack.ss_size = stack_size;
        f.context.uc_link = &scheduler;
        makecontext(&f.context, enter, 0);
    }
}

// The threads first … end - 1 that are in this state.
inline std::vector<size_t> those(size_t first, size_t end, State state)
{
    std::vector<size_t> found;
    for (size_t k = first; k < end; ++k)
        if (fibers[k].state == state) found.push_back(k);
    return found;
}

// Runs one warp as far as it goes: its threads in random order, on past shuffles, until all wait for the block.
inline void run_warp(size_t first, size_t end)
{
    for (;;) {
        std::vector<size_t> able = those(first, end, ready);
        if (able.empty()) {
            if (those(first, end, at_warp).size() < end - first) return;
            for (size_t k = first; k < end; ++k) fibers[k].state = ready;
            continue;
        }
        running = able[order() % able.size()];
        threadIdx = fibers[running].thread;
        swapcontext(&scheduler, &fibers[running].context);
    }
}

// A warp may be ahead of all others up to the next barrier: what a missing barrier would let happen, happens.
inline void run_fibers(size_t count)
{
    begin(count);
    for (;;) {
        std::vector<size_t> warps;
        for (size_t k : those(0, count, ready))
            if (warps.empty() || warps.back() != k / 32) warps.push_back(k / 32);
        if (warps.empty()) {
            const std::vector<size_t> waiting = those(0, count, at_barrier);
            const size_t finished = those(0, count, done).size();
            if (finished == count) return;
            if (finished + waiting.size() < count) fail("threads wait for others that never come");
            for (size_t k : waiting) fibers[k].state = ready;
            continue;
        }
        const size_t first = warps[order() % warps.size()] * 32;
        run_warp(first, first + 32 < count ? first + 32 : count);
    }
}

inline void run_plain(size_t count)
{
    static std::vector<size_t> turn;
    turn.resize(count);
    for (size_t k = 0; k < count; ++k) turn[k] = k;
    for (size_t k = count; k > 1; --k) std::swap(turn[k - 1], turn[order() % k]);
    for (size_t k : turn) {
        threadIdx = {unsigned(k % blockDim.x), unsigned(k / blockDim.x), 0};
        body(arguments);
    }
}

template <typename... A, size_t... K> void call(void (*kernel)(A...), void** values, std::index_sequence<K...>)
{
    kernel(*static_cast<A*>(values[K])...);
}

template <typename... A>
void launch(void (*kernel)(A...), const int64_t* shape, uint64_t seed, bool barriers, void** values)
{
    static void (*chosen)(A...);
    chosen = kernel;
    body = [](void* given) { call(chosen, static_cast<void**>(given), std::index_sequence_for<A...>()); };
    arguments = values;
    gridDim = {unsigned(shape[0]), 1, 1};
    blockDim = {unsigned(shape[1]), unsigned(shape[2]), 1};
    fibered = barriers;
    order.seed(seed);
    const size_t count = size_t(blockDim.x) * blockDim.y;
    std::vector<unsigned> blocks(gridDim.x);
    for (unsigned k = 0; k < gridDim.x; ++k) blocks[k] = k;
    for (size_t k = blocks.size(); k > 1; --k) std::swap(blocks[k - 1], blocks[order() % k]);
    for (unsigned b : blocks) {
        blockIdx = {b, 0, 0};
        if (barriers) run_fibers(count); else run_plain(count);
    }
}

}  // namespace host

inline void __syncthreads() { host::wait(host::at_barrier); }

template <typename T> T __shfl_down_sync(unsigned, T value, unsigned delta)
{
    const size_t self = host::running;
    __builtin_memcpy(&host::slots[self], &value, sizeof value);
    host::wait(host::at_warp);
    if (self % 32 + delta < 32) __builtin_memcpy(&value, &host::slots[self + delta], sizeof value);
    host::wait(host::at_warp);
    return value;
}

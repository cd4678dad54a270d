// CUDA's built-ins on a CPU: the threads of a block are fibers that meet at barriers and shuffles and otherwise run in
// a random order, so that a kernel that lacks a barrier computes something else. Blocks run one after the other.
// Few templates and no containers: this is compiled anew for every cell, and they take longer than its kernels.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__
#define __shared__ static
#define __restrict__

#if SYMRNN_STORAGE == 16
typedef _Float16 __half;
#endif

// The functions that kernels call, without the header that declares them: it takes longer than many a kernel.
namespace mathematics {
#define FUNCTION(name) \
    inline double name(double a) { return __builtin_##name(a); } \
    inline float name(float a) { return __builtin_##name##f(a); }
FUNCTION(cos) FUNCTION(erf) FUNCTION(erfc) FUNCTION(exp) FUNCTION(expm1) FUNCTION(fabs) FUNCTION(log) FUNCTION(log1p)
FUNCTION(sin) FUNCTION(sqrt) FUNCTION(tanh)
#undef FUNCTION
inline double pow(double a, double b) { return __builtin_pow(a, b); }
inline float pow(float a, float b) { return __builtin_powf(a, b); }
}  // namespace mathematics
using namespace mathematics;

namespace host {

struct Index { unsigned x, y, z; };

enum State { ready, at_barrier, at_warp, done };

struct Fiber {
    ucontext_t context;
    char* stack;
    State state;
    Index thread;
};

const size_t stack_size = 64 * 1024, most_threads = 1024;
static Fiber fibers[most_threads];
static size_t running;
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
static void (*body)(void**);
static void** arguments;
static unsigned long long slots[most_threads];

// As many numbers as a block has threads, or fewer.
struct Numbers
{
    size_t values[most_threads], size = 0;
    void append(size_t k) { values[size++] = k; }
    size_t drawn() const { return values[order() % size]; }
};

inline void shuffle(size_t* values, size_t size)
{
    for (size_t k = size; k > 1; --k) {
        const size_t other = order() % k, last = values[k - 1];
        values[k - 1] = values[other];
        values[other] = last;
    }
}

}  // namespace host

static host::Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {

inline void fail(const char* what)
{
    fprintf(stderr, "cuda on the cpu: %s\n", what);
    abort();
}

inline void* allocated(size_t bytes)
{
    void* found = malloc(bytes);
    if (!found && bytes) fail("no memory");
    return found;
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
    for (size_t k = 0; k < count; ++k) {
        Fiber& f = fibers[k];
        if (!f.stack) f.stack = static_cast<char*>(allocated(stack_size));
        f.state = ready;
        f.thread = {unsigned(k % blockDim.x), unsigned(k / blockDim.x), 0};
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack;
        f.context.uc_stack.ss_size = stack_size;
        f.context.uc_link = &scheduler;
        makecontext(&f.context, enter, 0);
    }
}

// The threads first … end - 1 that are in this state.
inline Numbers those(size_t first, size_t end, State state)
{
    Numbers found;
    for (size_t k = first; k < end; ++k)
        if (fibers[k].state == state) found.append(k);
    return found;
}

// Runs one warp as far as it goes: its threads in random order, on past shuffles, until all wait for the block.
inline void run_warp(size_t first, size_t end)
{
    for (;;) {
        const Numbers able = those(first, end, ready);
        if (!able.size) {
            if (those(first, end, at_warp).size < end - first) return;
            for (size_t k = first; k < end; ++k) fibers[k].state = ready;
            continue;
        }
        running = able.drawn();
        threadIdx = fibers[running].thread;
        swapcontext(&scheduler, &fibers[running].context);
    }
}

// A warp may be ahead of all others up to the next barrier: what a missing barrier would let happen, happens.
inline void run_fibers(size_t count)
{
    begin(count);
    for (;;) {
        Numbers warps;
        for (size_t first = 0; first < count; first += 32)
            if (those(first, first + 32 < count ? first + 32 : count, ready).size) warps.append(first);
        if (!warps.size) {
            const size_t waiting = those(0, count, at_barrier).size, finished = those(0, count, done).size;
            if (finished == count) return;
            if (finished + waiting < count) fail("threads wait for others that never come");
            for (size_t k = 0; k < count; ++k)
                if (fibers[k].state == at_barrier) fibers[k].state = ready;
            continue;
        }
        const size_t first = warps.drawn();
        run_warp(first, first + 32 < count ? first + 32 : count);
    }
}

inline void run_plain(size_t count)
{
    Numbers turn;
    for (size_t k = 0; k < count; ++k) turn.append(k);
    shuffle(turn.values, count);
    for (size_t k = 0; k < count; ++k) {
        const size_t thread = turn.values[k];
        threadIdx = {unsigned(thread % blockDim.x), unsigned(thread / blockDim.x), 0};
        body(arguments);
    }
}

// Runs a grid of `shape` blocks, threads in x and in y; `run` calls the kernel with the values these point to.
inline void launch(void (*run)(void**), const int64_t* shape, uint64_t seed, bool barriers, void** values)
{
    body = run;
    arguments = values;
    gridDim = {unsigned(shape[0]), 1, 1};
    blockDim = {unsigned(shape[1]), unsigned(shape[2]), 1};
    const size_t count = size_t(blockDim.x) * blockDim.y;
    if (count > most_threads) fail("more threads than a block may have");
    fibered = barriers;
    order.seed(seed);
    size_t* blocks = static_cast<size_t*>(allocated(gridDim.x * sizeof(size_t)));
    for (size_t k = 0; k < gridDim.x; ++k) blocks[k] = k;
    shuffle(blocks, gridDim.x);
    for (size_t k = 0; k < gridDim.x; ++k) {
        blockIdx = {unsigned(blocks[k]), 0, 0};
        if (barriers) run_fibers(count); else run_plain(count);
    }
    free(blocks);
}

template <typename... A, size_t... K> void call(void (*kernel)(A...), void** values, std::index_sequence<K...>)
{
    kernel(*static_cast<A*>(values[K])...);
}

template <typename... A> void call(void (*kernel)(A...), void** values)
{
    call(kernel, values, std::index_sequence_for<A...>());
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

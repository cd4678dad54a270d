// CUDA's built-ins on a CPU: the threads of a block are fibers that meet at barriers and shuffles and otherwise run in
// a random order, so that a kernel that lacks a barrier computes something else. Blocks run one after the other.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static
#define __restrict__

using std::cos; using std::erf; using std::exp; using std::expm1; using std::log; using std::log1p; using std::pow;
using std::sin; using std::sqrt; using std::tanh;

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
static std::mt19937_64 order;
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

// Lets those go on who all wait for the same: a whole warp, or everybody who has not finished.
inline void release(size_t count)
{
    for (size_t first = 0; first < count; first += 32) {
        bool all = true;
        const size_t end = first + 32 < count ? first + 32 : count;
        for (size_t k = first; k < end; ++k) all = all && fibers[k].state == at_warp;
        for (size_t k = first; k < end && all; ++k) fibers[k].state = ready;
    }
    bool all = true;
    for (size_t k = 0; k < count; ++k) all = all && (fibers[k].state == at_barrier || fibers[k].state == done);
    for (size_t k = 0; k < count && all; ++k)
        if (fibers[k].state == at_barrier) fibers[k].state = ready;
}

inline void run_fibers(size_t count)
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
    std::vector<size_t> able;
    for (;;) {
        able.clear();
        size_t finished = 0;
        for (size_t k = 0; k < count; ++k) {
            if (fibers[k].state == ready) able.push_back(k);
            finished += fibers[k].state == done;
        }
        if (finished == count) return;
        if (able.empty()) {
            release(count);
            for (size_t k = 0; k < count; ++k)
                if (fibers[k].state == ready) able.push_back(k);
            if (able.empty()) fail("threads wait for others that never come");
        }
        for (size_t k = able.size(); k > 1; --k) std::swap(able[k - 1], able[order() % k]);
        for (size_t k : able) {
            running = k;
            threadIdx = fibers[k].thread;
            swapcontext(&scheduler, &fibers[k].context);
        }
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

#include "kernels.h"

typedef void (*start_fn)(void (*)(void *), void *, unsigned, unsigned);
typedef int (*which_fn)(void);
static start_fn start;
static which_fn which;

// Let torch's own OpenMP threads run the parts: its GOMP_parallel and omp_get_thread_num. A second pool of
// threads would fight the first for the same cores.
void set_team(void *gomp_parallel, void *omp_get_thread_num) {
    start = (start_fn)gomp_parallel;
    which = (which_fn)omp_get_thread_num;
}

struct parts {
    void (*part)(void *, long, long);
    void *task;
    long count, step;
    int threads;
};

static void mine(void *data) {
    const struct parts *p = data;
    long steps = (p->count + p->step - 1) / p->step, me = which();
    long first = steps * me / p->threads * p->step, last = steps * (me + 1) / p->threads * p->step;
    if (last > p->count) last = p->count;
    if (first < last) p->part(p->task, first, last);
}

void in_parts(void (*part)(void *, long, long), void *task, long count, long step, int threads) {
    struct parts parts = {part, task, count, step, threads};
    if (threads > 1 && start)
        start(mine, &parts, (unsigned)threads, 0);
    else
        part(task, 0, count);
}

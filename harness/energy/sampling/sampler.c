/* The native sampler: one thread that reads power sensors on absolute deadlines into a ring.
 *
 * It runs no Python and holds no lock of Python's. Every row has the monotonic clock before and after its read.
 * A deadline that was missed is skipped, never made up for. Errors are rows too: a gap is seen, not filled in.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum op {
    READ_FILE = 1,
    NVML_U64 = 2,
    NVML_FIELD = 3,
    NVML_U32 = 4,
    NVML_TYPED = 5,
    NVML_PAIR = 6,
    NVML_BUFFER = 7, /* many rows at once, each at its own time; `field` is the clock of those times */
};
enum { BUFFER = 4096, NOTHING_NEW = 6 };

struct channel {
    int32_t op;
    uint32_t field, field_scope;
    int32_t every; /* read in each so many rounds */
    double scale;
    void *function;
    void *handle;
    const char *path;
};

struct row {
    int64_t t0_ns, t1_ns;
    double value;
    int32_t channel, status;
};

/* Layouts of nvmlValue_t, nvmlFieldValue_t and nvmlSample_t in NVIDIA's public header. */
union nvml_value { double d; uint32_t u32; unsigned long ul; uint64_t u64; int64_t s64; int32_t s32; uint16_t u16; };

struct nvml_field {
    uint32_t id, scope;
    int64_t timestamp, latency_us;
    int32_t type, status;
    union nvml_value value;
};

struct nvml_sample {
    uint64_t at_us;
    union nvml_value value;
};

struct sampler {
    struct channel *channels;
    int *files;
    int n;
    int64_t period_ns;
    uint64_t capacity;
    struct row *rows;
    _Atomic uint64_t written, rounds;
    struct nvml_sample *buffer; /* where a driver's own samples are put */
    uint64_t *seen_us;          /* by channel: the newest of them so far */
    int stop;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static int number(int type, union nvml_value from, double *value)
{
    switch (type) {
    case 0: *value = from.d; break;
    case 1: *value = from.u32; break;
    case 2: *value = (double)from.ul; break;
    case 3: *value = (double)from.u64; break;
    case 4: *value = (double)from.s64; break;
    case 5: *value = from.s32; break;
    case 6: *value = from.u16; break;
    default: return -EPROTO;
    }
    return 0;
}

static int read_field(const struct channel *c, double *value)
{
    struct nvml_field f = {.id = c->field, .scope = c->field_scope};
    int status = ((int (*)(void *, int, struct nvml_field *))c->function)(c->handle, 1, &f);
    if (status == 0)
        status = f.status;
    return status ? status : number(f.type, f.value, value);
}

static int read_file(int file, double *value)
{
    char text[64], *end;
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    if (n < 0)
        return -errno;
    text[n] = 0;
    if (text[0] < '0' || text[0] > '9') /* strtoull would take a minus sign and blanks */
        return -EPROTO;
    *value = (double)strtoull(text, &end, 10);
    while (*end == '\n' || *end == ' ')
        end++;
    return *end ? -EPROTO : 0;
}

static int read_channel(const struct sampler *s, int i, double *value)
{
    const struct channel *c = &s->channels[i];
    int status;
    if (c->op == READ_FILE)
        return s->files[i] < 0 ? s->files[i] : read_file(s->files[i], value);
    if (c->op == NVML_FIELD)
        return read_field(c, value);
    if (c->op == NVML_U64) {
        unsigned long long mj = 0;
        status = ((int (*)(void *, unsigned long long *))c->function)(c->handle, &mj);
        *value = (double)mj;
        return status;
    }
    unsigned int pair[2] = {0, 0};
    if (c->op == NVML_TYPED)
        status = ((int (*)(void *, int, unsigned int *))c->function)(c->handle, (int)c->field, pair);
    else /* one number, or the first of two */
        status = ((int (*)(void *, unsigned int *))c->function)(c->handle, pair);
    *value = pair[0];
    return status;
}

static void put(struct sampler *s, int channel, int64_t t0_ns, int64_t t1_ns, int status, double value)
{
    struct row *r = &s->rows[s->written % s->capacity];
    *r = (struct row){t0_ns, t1_ns, status ? 0 : value * s->channels[channel].scale, channel, status};
    s->written++;
}

/* Take what the driver has sampled since the last time, moved to our clock. */
static void take_buffer(struct sampler *s, int i)
{
    const struct channel *c = &s->channels[i];
    uint32_t type = 0, count = BUFFER;
    int64_t t0 = now_ns(), ahead = clock_ns((clockid_t)c->field) - t0;
    int status = ((int (*)(void *, int, uint64_t, uint32_t *, uint32_t *, struct nvml_sample *))c->function)(
        c->handle, 0, s->seen_us[i], &type, &count, s->buffer);
    if (status == NOTHING_NEW)
        return;
    if (status)
        put(s, i, t0, now_ns(), status, 0);
    for (uint32_t n = 0; !status && n < count; n++) {
        if (s->buffer[n].at_us <= s->seen_us[i])
            continue;
        double value = 0;
        int bad = number((int)type, s->buffer[n].value, &value);
        int64_t at = (int64_t)s->buffer[n].at_us * 1000 - ahead;
        s->seen_us[i] = s->buffer[n].at_us;
        put(s, i, at, at, bad, value);
    }
}

static void take(struct sampler *s, int i)
{
    if (s->channels[i].op == NVML_BUFFER) {
        take_buffer(s, i);
        return;
    }
    double value = 0;
    int64_t t0 = now_ns();
    int status = read_channel(s, i, &value);
    put(s, i, t0, now_ns(), status, value);
}

static void *run(void *argument)
{
    struct sampler *s = argument;
    int64_t due = now_ns();
    pthread_mutex_lock(&s->mutex);
    while (!s->stop) {
        pthread_mutex_unlock(&s->mutex);
        for (int i = 0; i < s->n; i++)
            if (s->rounds % (uint64_t)s->channels[i].every == 0)
                take(s, i);
        s->rounds++;
        int64_t now = now_ns();
        due += s->period_ns;
        if (due < now)
            due += (now - due + s->period_ns - 1) / s->period_ns * s->period_ns;
        struct timespec until = {due / 1000000000, due % 1000000000};
        pthread_mutex_lock(&s->mutex);
        while (!s->stop && pthread_cond_timedwait(&s->wake, &s->mutex, &until) != ETIMEDOUT)
            ;
    }
    pthread_mutex_unlock(&s->mutex);
    for (int i = 0; i < s->n; i++)
        if (s->channels[i].op == NVML_BUFFER) /* what came since its last turn */
            take_buffer(s, i);
    return NULL;
}

static void release(struct sampler *s)
{
    for (int i = 0; s->files && i < s->n; i++)
        if (s->files[i] >= 0)
            close(s->files[i]);
    free(s->files);
    free(s->buffer);
    free(s->seen_us);
    free(s->channels);
    free(s->rows);
    free(s);
}

/* Start sampling; NULL when memory or threads are short. Capacity is in rows. */
void *sampler_start(const struct channel *channels, int n, int64_t period_ns, uint64_t capacity)
{
    struct sampler *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->n = n;
    s->period_ns = period_ns;
    s->capacity = capacity;
    s->channels = malloc((size_t)n * sizeof *channels);
    s->files = malloc((size_t)n * sizeof *s->files);
    s->rows = malloc(capacity * sizeof *s->rows);
    s->buffer = malloc(BUFFER * sizeof *s->buffer);
    s->seen_us = calloc((size_t)n, sizeof *s->seen_us);
    if (!s->channels || !s->files || !s->rows || !s->buffer || !s->seen_us) {
        s->n = 0;
        release(s);
        return NULL;
    }
    memcpy(s->channels, channels, (size_t)n * sizeof *channels);
    for (int i = 0; i < n; i++) {
        s->files[i] = -1;
        if (channels[i].op == READ_FILE && (s->files[i] = open(channels[i].path, O_RDONLY | O_CLOEXEC)) < 0)
            s->files[i] = -errno;
        s->channels[i].path = NULL; /* the caller's memory */
    }
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, &clock);
    sigset_t all, before;
    sigfillset(&all); /* signals belong to the program's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        release(s);
        return NULL;
    }
    return s;
}

uint64_t sampler_written(void *sampler) { return ((struct sampler *)sampler)->written; }

uint64_t sampler_rounds(void *sampler) { return ((struct sampler *)sampler)->rounds; }

/* Stop and wait for the read in flight; the rows stay readable until sampler_free. */
void sampler_stop(void *sampler)
{
    struct sampler *s = sampler;
    pthread_mutex_lock(&s->mutex);
    s->stop = 1;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
}

/* Copy the kept rows, oldest first; returns how many. `out` holds min(written, capacity) rows. */
uint64_t sampler_copy(void *sampler, struct row *out)
{
    struct sampler *s = sampler;
    uint64_t kept = s->written < s->capacity ? s->written : s->capacity;
    uint64_t first = s->written - kept;
    for (uint64_t i = 0; i < kept; i++)
        out[i] = s->rows[(first + i) % s->capacity];
    return kept;
}

void sampler_free(void *sampler) { release(sampler); }

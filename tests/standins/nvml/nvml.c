/* A stand-in libnvidia-ml.so.1 for tests: scripted power waveforms, replayed in wall-clock time, truth exported.
 *
 * The script is a text file named by NVML_STANDIN_SCRIPT, read at the first nvmlInit. One directive a line:
 *   origin_ns N            monotonic time of the scripts' second 0 (default: the first nvmlInit)
 *   driver VERSION         init CODE (nvmlInit fails)       missing FUNCTION (answers FUNCTION_NOT_FOUND)
 *   device UUID NAME       the lines below describe this device
 *   hold SECONDS WATTS     ramp SECONDS WATTS WATTS         repeat (the waveform starts again; else its last
 *                          power stays; before second 0 its first power holds)
 *   counter PERIOD LAG QUANTUM_MJ [WINDOW]   energy counter; WINDOW > 0: only the last WINDOW s of each period
 *                          are measured and stand for all of it (a duty-cycled counter)
 *   instant PERIOD WINDOW  instant power: mean over WINDOW s, renewed each PERIOD
 *   average PERIOD WINDOW  average power, likewise
 *   samples PERIOD DEPTH   the driver's buffer: mean power of each PERIOD at its end, the last DEPTH of them
 *   gpm METRIC PER_WATT    a GPM metric, in proportion to the mean power between its two samples
 *   gain FACTOR            what the sensors say of the truth
 *   error FROM TO CODE WHAT   WHAT is a function, `instant`, `average` or `event_times` (the fields alone), or * for all
 *   reset AT               stuck FROM TO          slow SECONDS
 *   disturb JOULES         each read of the counter costs so much, which its next tick shows
 *   temperature SECONDS LOW HIGH   rises from LOW to HIGH degrees over the first SECONDS
 *   events FROM TO BITS    clock event reasons within that time, beside 0x4
 *   process PID BYTES      a running compute process      application MHZ DEFAULT   application clocks of the SMs
 * Compiled with -DOLD_DRIVER the energy counter, field values and event reasons do not exist at all.
 * Truth: standin_energy_j(device, t0_ns, t1_ns), the exact integral. standin_set_power(device, watts) changes the
 * waveform from now on; standin_queue(device, seconds, watts, after) draws power when what was queued is done, as a
 * device works off its queue, and returns when that ends; standin_direct(device, line) obeys a directive while
 * running; standin_now_s() is its time. Written from NVIDIA's public documentation of the interface.
 */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, SHORT = 7, NO_FUNCTION = 13 };
enum { DEVICES = 16, SEGMENTS = 1 << 16, RULES = 32, PROCESSES = 8 };

struct segment { double start, seconds, w0, w1, before_j; };
struct rule { double from, to; int code; char function[64]; };
struct gauge { double period, window; };

struct device {
    char uuid[96], name[96];
    struct segment segments[SEGMENTS];
    int n_segments, repeat;
    double length, total_j;
    double period, lag, quantum_mj, window;
    struct gauge instant, average;
    double samples_period;
    int samples_depth;
    double gpm[256];
    int has_gpm;
    double gain, reset_at, stuck_from, stuck_to, slow, disturb_j;
    double warm_s, cold_c, hot_c, events_from, events_to;
    unsigned long long events, reads;
    unsigned application_mhz, application_usual_mhz;
    double tick, disturbed_j, queued_until;
    struct rule rules[RULES];
    int n_rules;
    struct { unsigned pid; unsigned long long bytes; } processes[PROCESSES];
    int n_processes;
    int64_t part_tick; /* duty-cycled counter, summed up to this tick */
    double part_j;
};

static struct device devices[DEVICES];
static char missing[RULES][64], driver[80];
static int n_devices, n_missing, init_code, ready;
static int64_t origin_ns;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double now_s(void) { return (double)(monotonic_ns() - origin_ns) * 1e-9; }

/* The waveform and its integral, in seconds since the origin. */
static double joules_to(const struct device *d, double t)
{
    double whole = 0;
    if (d->n_segments == 0)
        return 0;
    if (t <= 0)
        return t * d->segments[0].w0;
    if (d->repeat && d->length > 0) {
        double cycles = floor(t / d->length);
        whole = cycles * d->total_j;
        t -= cycles * d->length;
    }
    int low = 0, high = d->n_segments - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (d->segments[middle].start <= t) low = middle; else high = middle - 1;
    }
    const struct segment *s = &d->segments[low];
    double x = t - s->start;
    if (x > s->seconds)
        return whole + s->before_j + s->seconds * (s->w0 + s->w1) / 2 + (x - s->seconds) * s->w1;
    return whole + s->before_j + x * s->w0 + (s->seconds > 0 ? x * x * (s->w1 - s->w0) / (2 * s->seconds) : 0);
}

static void append(struct device *d, double seconds, double w0, double w1)
{
    if (d->n_segments == SEGMENTS)
        abort();
    d->segments[d->n_segments++] = (struct segment){d->length, seconds, w0, w1, d->total_j};
    d->length += seconds;
    d->total_j += seconds * (w0 + w1) / 2;
}

static double sensed_now(const struct device *d)
{
    double t = now_s();
    return t >= d->stuck_from && t < d->stuck_to ? d->stuck_from : t;
}

static double last_tick(double t, double period) { return period > 0 ? floor(t / period) * period : t; }

static unsigned gauge_mw(const struct device *d, const struct gauge *g)
{
    double window = g->window > 0 ? g->window : 1e-6;
    pthread_mutex_lock(&lock);
    double t = last_tick(sensed_now(d), g->period);
    double watts = (joules_to(d, t) - joules_to(d, t - window)) / window * d->gain;
    pthread_mutex_unlock(&lock);
    return (unsigned)lround(watts * 1e3);
}

static int scripted_error(const char *function, const struct device *d)
{
    double t = now_s();
    int code = OK;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < d->n_rules && !code; i++) {
        const struct rule *r = &d->rules[i];
        if (t >= r->from && t < r->to && (!strcmp(r->function, "*") || !strcmp(r->function, function)))
            code = r->code;
    }
    pthread_mutex_unlock(&lock);
    return code;
}

/* What every call does first: existence, scripted errors, slowness. */
static int enter(const char *function, const struct device *d)
{
    if (!ready)
        return UNINITIALIZED;
    for (int i = 0; i < n_missing; i++)
        if (!strcmp(missing[i], function))
            return NO_FUNCTION;
    if (!d)
        return OK;
    if (d < devices || d >= devices + n_devices)
        return INVALID;
    if (d->slow > 0) {
        struct timespec pause = {(time_t)d->slow, (long)((d->slow - floor(d->slow)) * 1e9)};
        nanosleep(&pause, NULL);
    }
    return scripted_error(function, d);
}

static void bad(const char *line)
{
    fprintf(stderr, "nvml stand-in: cannot read the line: %s\n", line);
    abort();
}

static void read_line(char *line, struct device *d)
{
    char word[64] = "", text[96] = "";
    double a = 0, b = 0, c = 0, e = 0;
    int at = 0;
    line[strcspn(line, "\n#")] = 0;
    if (sscanf(line, "%63s%n", word, &at) < 1)
        return;
    const char *rest = line + at;
    int n = sscanf(rest, "%lf %lf %lf %lf", &a, &b, &c, &e);
    if (!strcmp(word, "origin_ns")) origin_ns = strtoll(rest, NULL, 10);
    else if (!strcmp(word, "driver")) sscanf(rest, "%79s", driver);
    else if (!strcmp(word, "init") && n == 1) init_code = (int)a;
    else if (!strcmp(word, "missing") && n_missing < RULES) sscanf(rest, "%63s", missing[n_missing++]);
    else if (!strcmp(word, "device") && n_devices < DEVICES) {
        d = &devices[n_devices++];
        *d = (struct device){.gain = 1, .reset_at = INFINITY, .stuck_from = INFINITY, .stuck_to = INFINITY,
                             .cold_c = 41, .hot_c = 41,
                             .period = -1, .instant = {-1, 0}, .average = {-1, 0}};
        if (sscanf(rest, "%95s %95[^\n]", d->uuid, d->name) != 2) bad(line);
    }
    else if (!d) bad(line);
    else if (!strcmp(word, "hold") && n == 2) append(d, a, b, b);
    else if (!strcmp(word, "ramp") && n == 3) append(d, a, b, c);
    else if (!strcmp(word, "repeat")) d->repeat = 1;
    else if (!strcmp(word, "counter") && n >= 3) d->period = a, d->lag = b, d->quantum_mj = c, d->window = e;
    else if (!strcmp(word, "instant") && n == 2) d->instant = (struct gauge){a, b};
    else if (!strcmp(word, "average") && n == 2) d->average = (struct gauge){a, b};
    else if (!strcmp(word, "samples") && n == 2) d->samples_period = a, d->samples_depth = (int)b;
    else if (!strcmp(word, "gpm") && n == 2 && a >= 0 && a < 256) d->gpm[(int)a] = b, d->has_gpm = 1;
    else if (!strcmp(word, "gain") && n == 1) d->gain = a;
    else if (!strcmp(word, "reset") && n == 1) d->reset_at = a;
    else if (!strcmp(word, "stuck") && n == 2) d->stuck_from = a, d->stuck_to = b;
    else if (!strcmp(word, "slow") && n == 1) d->slow = a;
    else if (!strcmp(word, "disturb") && n == 1) d->disturb_j = a;
    else if (!strcmp(word, "temperature") && n == 3) d->warm_s = a, d->cold_c = b, d->hot_c = c;
    else if (!strcmp(word, "events") && n == 3) d->events_from = a, d->events_to = b, d->events = (unsigned long long)c;
    else if (!strcmp(word, "application") && n == 2) d->application_mhz = (unsigned)a, d->application_usual_mhz = (unsigned)b;
    else if (!strcmp(word, "process") && n == 2 && d->n_processes < PROCESSES) {
        d->processes[d->n_processes].pid = (unsigned)a;
        d->processes[d->n_processes++].bytes = (unsigned long long)b;
    }
    else if (!strcmp(word, "error") && n == 3 && d->n_rules < RULES && sscanf(rest, "%*f %*f %*f %95s", text) == 1) {
        struct rule *r = &d->rules[d->n_rules++];
        r->from = a, r->to = b, r->code = (int)c;
        snprintf(r->function, sizeof r->function, "%.63s", text);
    }
    else bad(line);
}

int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    pthread_mutex_lock(&lock);
    if (!ready) {
        const char *path = getenv("NVML_STANDIN_SCRIPT");
        FILE *f = path ? fopen(path, "r") : NULL;
        char line[512];
        strcpy(driver, "999.99.99");
        origin_ns = monotonic_ns();
        while (f && fgets(line, sizeof line, f))
            read_line(line, n_devices ? &devices[n_devices - 1] : NULL);
        if (f)
            fclose(f);
        ready = init_code == 0;
    }
    pthread_mutex_unlock(&lock);
    return init_code;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code)
{
    static const char *names[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported", "Insufficient Permissions",
        "Already Initialized", "Not Found", "Insufficient Size", "Insufficient External Power",
        "Driver Not Loaded", "Timeout", "Interrupt Request Issue", "NVML Shared Library Not Found",
        "Function Not Found", "Corrupted infoROM", "GPU is lost"};
    return code >= 0 && code < (int)(sizeof names / sizeof *names) ? names[code] : "Unknown Error";
}

#define ENTER(d) do { int code_ = enter(__func__, (d)); if (code_) return code_; } while (0)
#define TEXT(out, size, value) \
    do { if (strlen(value) >= (size)) return SHORT; strcpy((out), (value)); return OK; } while (0)
#define NUMBER(function, type, value) \
    int function(struct device *d, type *out) { ENTER(d); *out = (type)(value); return OK; }

int nvmlSystemGetDriverVersion(char *out, unsigned size) { ENTER(NULL); TEXT(out, size, driver); }
int nvmlSystemGetCudaDriverVersion_v2(int *out) { ENTER(NULL); *out = 12080; return OK; }
int nvmlSystemGetCudaDriverVersion(int *out) { ENTER(NULL); *out = 12080; return OK; }
int nvmlDeviceGetCount_v2(unsigned *out) { ENTER(NULL); *out = (unsigned)n_devices; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **out)
{
    ENTER(NULL);
    if (index >= (unsigned)n_devices)
        return INVALID;
    *out = &devices[index];
    return enter(__func__, *out);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, struct device **out)
{
    ENTER(NULL);
    for (int i = 0; i < n_devices; i++)
        if (!strcmp(devices[i].uuid, uuid)) {
            *out = &devices[i];
            return enter(__func__, *out);
        }
    return NOT_FOUND;
}

int nvmlDeviceGetName(struct device *d, char *out, unsigned size) { ENTER(d); TEXT(out, size, d->name); }
int nvmlDeviceGetUUID(struct device *d, char *out, unsigned size) { ENTER(d); TEXT(out, size, d->uuid); }
NUMBER(nvmlDeviceGetIndex, unsigned, d - devices)
NUMBER(nvmlDeviceGetPowerManagementLimit, unsigned, 700000)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, unsigned, 600000)
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, 700000)
NUMBER(nvmlDeviceGetPersistenceMode, unsigned, 1)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, 4)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, unsigned, 8)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, 5)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, unsigned, 16)

int nvmlDeviceGetPowerManagementLimitConstraints(struct device *d, unsigned *low, unsigned *high)
{
    ENTER(d);
    *low = 200000;
    *high = 700000;
    return OK;
}

int nvmlDeviceGetEccMode(struct device *d, unsigned *current, unsigned *pending)
{
    ENTER(d);
    *current = *pending = 1;
    return OK;
}

int nvmlDeviceGetMigMode(struct device *d, unsigned *current, unsigned *pending)
{
    ENTER(d);
    *current = *pending = 0;
    return OK;
}

int nvmlDeviceGetClockInfo(struct device *d, int type, unsigned *out)
{
    ENTER(d);
    *out = type == 2 ? 3201 : 1755;
    return OK;
}

int nvmlDeviceGetApplicationsClock(struct device *d, int type, unsigned *out)
{
    ENTER(d);
    *out = type == 2 ? 3201 : d->application_mhz;
    return d->application_mhz ? OK : NOT_SUPPORTED;
}

int nvmlDeviceGetDefaultApplicationsClock(struct device *d, int type, unsigned *out)
{
    ENTER(d);
    *out = type == 2 ? 3201 : d->application_usual_mhz;
    return d->application_mhz ? OK : NOT_SUPPORTED;
}

int nvmlDeviceGetMaxClockInfo(struct device *d, int type, unsigned *out)
{
    ENTER(d);
    *out = type == 2 ? 3201 : 1980;
    return OK;
}

int nvmlDeviceGetTemperature(struct device *d, int sensor, unsigned *out)
{
    ENTER(d);
    double t = now_s();
    double share = d->warm_s > 0 ? fmin(fmax(t / d->warm_s, 0), 1) : 0;
    *out = sensor == 0 ? (unsigned)lround(d->cold_c + share * (d->hot_c - d->cold_c)) : 0;
    return OK;
}

int nvmlDeviceGetCudaComputeCapability(struct device *d, int *major, int *minor)
{
    ENTER(d);
    *major = 9;
    *minor = 0;
    return OK;
}

struct utilisation { unsigned gpu, memory; };

int nvmlDeviceGetUtilizationRates(struct device *d, struct utilisation *out)
{
    ENTER(d);
    *out = (struct utilisation){73, 12};
    return OK;
}

struct memory { unsigned long long total, free, used; };
struct process { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; };

int nvmlDeviceGetMemoryInfo(struct device *d, struct memory *out)
{
    ENTER(d);
    out->total = 80ull << 30;
    out->used = 1ull << 30;
    out->free = out->total - out->used;
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(struct device *d, unsigned *count, struct process *out)
{
    ENTER(d);
    unsigned room = *count;
    *count = (unsigned)d->n_processes;
    if (room < *count)
        return SHORT;
    for (unsigned i = 0; i < *count; i++) {
        out[i].pid = d->processes[i].pid;
        out[i].bytes = d->processes[i].bytes;
        out[i].gpu_instance = out[i].compute_instance = ~0u;
    }
    return OK;
}

int nvmlDeviceGetPowerUsage(struct device *d, unsigned *out)
{
    ENTER(d);
    const struct gauge *g = d->average.period >= 0 ? &d->average : &d->instant;
    if (g->period < 0)
        return NOT_SUPPORTED;
    *out = gauge_mw(d, g);
    return OK;
}

#ifndef OLD_DRIVER
static double counter_mj(struct device *d)
{
    double now = sensed_now(d), t = last_tick(now - d->lag, d->period), joules;
    if (d->window > 0) {
        for (int64_t tick = llround(t / d->period); d->part_tick < tick; d->part_tick++) {
            double end = (double)(d->part_tick + 1) * d->period;
            d->part_j += (joules_to(d, end) - joules_to(d, end - d->window)) / d->window * d->period;
        }
        joules = d->part_j;
    } else {
        joules = joules_to(d, t);
    }
    double before = 1e6; /* counted since the driver was loaded */
    if (now >= d->reset_at) {
        joules -= joules_to(d, d->reset_at);
        before = 1;
    }
    d->reads++;
    if (t > d->tick) { /* what reading cost shows at the next tick, like all else */
        d->tick = t;
        d->disturbed_j = (double)d->reads * d->disturb_j;
    }
    double mj = (before + joules * d->gain + d->disturbed_j) * 1e3;
    return d->quantum_mj > 0 ? floor(mj / d->quantum_mj + 1e-9) * d->quantum_mj : mj;
}

struct sample { unsigned long long at_us; union { double d; unsigned u32; unsigned long long u64; } value; };

int nvmlDeviceGetSamples(struct device *d, int type, unsigned long long seen_us, unsigned *value_type,
                         unsigned *count, struct sample *out)
{
    ENTER(d);
    if (type != 0 || d->samples_depth == 0)
        return NOT_SUPPORTED;
    if (!out) {
        *count = (unsigned)d->samples_depth;
        return OK;
    }
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    double now = now_s(), period = d->samples_period;
    double wall_us = (double)wall.tv_sec * 1e6 + (double)wall.tv_nsec * 1e-3;
    int64_t newest = (int64_t)floor(sensed_now(d) / period);
    unsigned room = *count, found = 0;
    pthread_mutex_lock(&lock);
    for (int64_t i = newest - d->samples_depth + 1; i <= newest && found < room; i++) {
        double t = (double)i * period;
        unsigned long long at_us = (unsigned long long)llround(wall_us - (now - t) * 1e6);
        if (at_us <= seen_us)
            continue;
        out[found].at_us = at_us;
        out[found++].value.u32 = (unsigned)lround((joules_to(d, t) - joules_to(d, t - period)) / period * d->gain * 1e3);
    }
    pthread_mutex_unlock(&lock);
    *value_type = 1;
    *count = found;
    return found ? OK : NOT_FOUND;
}

struct gpm_sample { struct device *device; double at; };
struct gpm_metric { unsigned id; int status; double value; const char *names[3]; };
struct gpm_get { unsigned version, n; struct gpm_sample *first, *last; struct gpm_metric metrics[]; };
struct gpm_support { unsigned version, supported; };

int nvmlGpmQueryDeviceSupport(struct device *d, struct gpm_support *out)
{
    ENTER(d);
    out->supported = (unsigned)d->has_gpm;
    return OK;
}

int nvmlGpmSampleAlloc(struct gpm_sample **out)
{
    ENTER(NULL);
    *out = calloc(1, sizeof **out);
    return OK;
}

int nvmlGpmSampleFree(struct gpm_sample *sample)
{
    free(sample);
    return OK;
}

int nvmlGpmSampleGet(struct device *d, struct gpm_sample *out)
{
    ENTER(d);
    *out = (struct gpm_sample){d, now_s()};
    return OK;
}

int nvmlGpmMetricsGet(struct gpm_get *get)
{
    struct device *d = get->first->device;
    ENTER(d);
    if (get->version != 1 || get->last->device != d || get->last->at <= get->first->at)
        return INVALID;
    pthread_mutex_lock(&lock);
    double watts = (joules_to(d, get->last->at) - joules_to(d, get->first->at)) / (get->last->at - get->first->at);
    pthread_mutex_unlock(&lock);
    for (unsigned i = 0; i < get->n; i++) {
        struct gpm_metric *m = &get->metrics[i];
        m->status = m->id < 256 && d->gpm[m->id] > 0 ? OK : NOT_SUPPORTED;
        m->value = m->status == OK ? d->gpm[m->id] * watts : 0;
    }
    return OK;
}

int nvmlDeviceGetCurrentClocksEventReasons(struct device *d, unsigned long long *out)
{
    ENTER(d);
    double t = now_s();
    *out = 0x4 | (t >= d->events_from && t < d->events_to ? d->events : 0); /* 0x4: software power cap */
    return OK;
}

int nvmlDeviceGetTotalEnergyConsumption(struct device *d, unsigned long long *out)
{
    ENTER(d);
    if (d->period < 0)
        return NOT_SUPPORTED;
    pthread_mutex_lock(&lock);
    *out = (unsigned long long)counter_mj(d);
    pthread_mutex_unlock(&lock);
    return OK;
}

struct field {
    unsigned id, scope;
    long long timestamp, latency_us;
    int type, status;
    union { double d; unsigned u32; unsigned long long u64; } value;
};

int nvmlDeviceGetFieldValues(struct device *d, int n, struct field *fields)
{
    ENTER(d);
    for (int i = 0; i < n; i++) {
        struct field *f = &fields[i];
        const struct gauge *g = f->id == 186 ? &d->instant : f->id == 185 ? &d->average : NULL;
        f->timestamp = monotonic_ns() / 1000;
        unsigned bit = f->id == 74 ? 0x4 : f->id == 269 ? 0x20 : f->id == 270 ? 0x40 : f->id == 271 ? 0x80 : 0;
        if (bit) { /* nanoseconds for which the reason held the clocks down */
            double t = now_s(), held = bit == 0x4 ? t : fmin(t, d->events_to) - d->events_from;
            f->status = scripted_error("event_times", d);
            f->type = 3;
            f->value.u64 = bit == 0x4 || d->events & bit ? (unsigned long long)(fmax(held, 0) * 1e9) : 0;
            continue;
        }
        f->status = g && g->period >= 0 && f->scope == 0 ? scripted_error(f->id == 186 ? "instant" : "average", d)
                                                         : NOT_SUPPORTED;
        if (f->status == OK) {
            f->type = 1;
            f->value.u32 = gauge_mw(d, g);
        }
    }
    return OK;
}
#else
NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, 0x4)
#endif

/* For tests alone. */
double standin_energy_j(int device, int64_t t0_ns, int64_t t1_ns)
{
    pthread_mutex_lock(&lock);
    double joules = joules_to(&devices[device], (double)(t1_ns - origin_ns) * 1e-9)
                    - joules_to(&devices[device], (double)(t0_ns - origin_ns) * 1e-9);
    pthread_mutex_unlock(&lock);
    return joules;
}

double standin_now_s(void) { return now_s(); }

void standin_direct(int device, const char *line)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", line);
    pthread_mutex_lock(&lock);
    read_line(copy, &devices[device]);
    pthread_mutex_unlock(&lock);
}

/* Draw `watts` from the time `t` on, which is no earlier than the last change. */
static void draw_from(struct device *d, double t, double watts)
{
    struct segment *last = &d->segments[d->n_segments - 1];
    if (t > last->start) { /* the last power held until then */
        double x = t - last->start;
        if (x < last->seconds)
            last->w1 = last->w0 + (last->w1 - last->w0) * x / last->seconds;
        else if (x > last->seconds && last->w0 != last->w1)
            append(d, x - last->seconds, last->w1, last->w1), last = &d->segments[d->n_segments - 1];
        last->seconds = t - last->start;
        d->length = t;
        d->total_j = last->before_j + last->seconds * (last->w0 + last->w1) / 2;
    }
    append(d, 0, watts, watts);
}

void standin_set_power(int device, double watts)
{
    pthread_mutex_lock(&lock);
    draw_from(&devices[device], now_s(), watts);
    pthread_mutex_unlock(&lock);
}

int64_t standin_queue(int device, double seconds, double watts, double after)
{
    struct device *d = &devices[device];
    pthread_mutex_lock(&lock);
    double start = fmax(now_s(), d->queued_until);
    draw_from(d, start, watts);
    d->queued_until = start + seconds;
    draw_from(d, d->queued_until, after);
    int64_t end_ns = origin_ns + llround(d->queued_until * 1e9);
    pthread_mutex_unlock(&lock);
    return end_ns;
}

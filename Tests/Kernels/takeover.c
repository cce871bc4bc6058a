// takeover DIR [SECONDS]: tries what becomes of a FUSE connection whose server dies, and prints a line for
// each question. Docs/Survival.md has the answers, Tests/Kernels/takeover runs this in several kernels.
//
// It has a server of its own, of one file and one folder that can be made, so that what it shows is the
// kernel's doing. SECONDS is how long something is waited for that may never come.
//
// Source: fs/fuse/dev.c and fs/fuse/dev_uring.c of Linux 6.18; move_mount(2).
#include "cfk_abi.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_BYTES = 1 << 20, BUFFER = 1 << 18, PAYLOAD = 1 << 17, PENDING = INT_MIN, MOST_QUEUES = 64 };
static const uint64_t RESENT = 1ull << 63;

// What the processes of one scenario tell each other.
struct shared {
    _Atomic int dies;              // the server that takes MKDIR dies of it
    _Atomic int taken;             // MKDIRs that it took
    _Atomic int made;              // times that the folder was made
    _Atomic int again, marked;     // MKDIRs that the next server got; those with the bit of a resend
    _Atomic int requests;          // requests that the next server got
    _Atomic uint64_t unique, commit;
    _Atomic int qid;
    _Atomic int serving, refused;  // by the ring: queues registered, or the error
    _Atomic int ready, go;
    _Atomic int read_result, folder_result, map_result, made_result;
};
static struct shared *all;

// One entry of a ring queue.
struct slot {
    struct cfk_ring_req_header head;
    _Alignas(4096) char payload[PAYLOAD];
    struct iovec areas[2];
};
static const char *mountpoint;
static int seconds = 2;
// The buffers of all servers of a scenario, at the same addresses, where they are to be shared.
static struct slot *common;

static int await(_Atomic int *word, int not) {
    for (int i = 0; i < seconds * 100 && *word == not; i++) usleep(10000);
    return *word;
}

static const char *said(int result) {
    static char text[4][64];
    static int next;
    char *line = text[next++ & 3];
    if (result == PENDING) return "waits for ever";
    if (result == 0) return "goes on";
    snprintf(line, sizeof text[0], "%s", strerrorname_np(result) ? strerrorname_np(result) : "?");
    return line;
}

static void line(const char *key, const char *value) {
    printf("takeover: %s | %s\n", key, value);
    fflush(stdout);
}

// MARK: the server

static void fill(struct cfk_attr *attr, uint64_t node) {
    memset(attr, 0, sizeof *attr);
    attr->ino = node;
    attr->mode = node == 2 ? S_IFREG | 0644 : S_IFDIR | 0755;
    attr->nlink = node == 2 ? 1 : 2;
    attr->size = node == 2 ? FILE_BYTES : 0;
    attr->blksize = 4096;
}

static int entry(void *out, size_t *bytes, uint64_t node) {
    struct cfk_entry_out *reply = out;
    memset(reply, 0, sizeof *reply);
    reply->nodeid = node;
    reply->generation = 1;
    fill(&reply->attr, node);
    *bytes = sizeof *reply;
    return 0;
}

// Answers a request; `*bytes` of `out`, or a negated errno.
static int answer(const struct cfk_in_header *head, const void *argument, const char *name, void *out,
                  size_t *bytes, int is_next, uint64_t commit, int qid) {
    *bytes = 0;
    if (is_next) all->requests++;
    switch (head->opcode) {
    case CFK_LOOKUP:
        if (strcmp(name, "file") == 0) return entry(out, bytes, 2);
        if (strcmp(name, "made") == 0 && all->made > 0) return entry(out, bytes, 3);
        return -ENOENT;
    case CFK_GETATTR: {
        struct cfk_attr_out *reply = out;
        memset(reply, 0, sizeof *reply);
        fill(&reply->attr, head->nodeid);
        *bytes = sizeof *reply;
        return 0;
    }
    case CFK_OPEN:
    case CFK_OPENDIR: {
        struct cfk_open_out *reply = out;
        memset(reply, 0, sizeof *reply);
        *bytes = sizeof *reply;
        return 0;
    }
    case CFK_READ: {
        const struct cfk_read_in *in = argument;
        memset(out, 'x', in->size);
        *bytes = in->size;
        return 0;
    }
    case CFK_MKDIR:
        if (!is_next && all->dies) {
            all->unique = head->unique;
            all->commit = commit;
            all->qid = qid;
            all->taken++;
            kill(getpid(), SIGKILL);
            pause();
        }
        if (is_next) {
            all->again++;
            if (head->unique & RESENT) all->marked++;
        }
        all->made++;
        return entry(out, bytes, 3);
    case CFK_RELEASE:
    case CFK_RELEASEDIR:
    case CFK_FLUSH: return 0;
    default: return -ENOSYS;
    }
}

static int reply_init(int device, const struct cfk_in_header *head, const struct cfk_init_in *in, int ring) {
    struct {
        struct cfk_out_header head;
        struct cfk_init_out init;
    } reply;
    memset(&reply, 0, sizeof reply);
    uint64_t offered = in->flags | (uint64_t)in->flags2 << 32;
    uint64_t wanted = CFK_INIT_MAX_PAGES | CFK_INIT_BIG_WRITES | CFK_INIT_INIT_EXT | CFK_INIT_HAS_RESEND;
    if (ring) wanted |= CFK_INIT_OVER_IO_URING;
    wanted &= offered;
    reply.head.len = sizeof reply;
    reply.head.unique = head->unique;
    reply.init.major = CFK_KERNEL_VERSION;
    reply.init.minor = in->minor < CFK_KERNEL_MINOR_VERSION ? in->minor : CFK_KERNEL_MINOR_VERSION;
    reply.init.max_readahead = 4096;
    reply.init.flags = (uint32_t)wanted;
    reply.init.flags2 = (uint32_t)(wanted >> 32);
    reply.init.max_write = PAYLOAD;
    reply.init.max_pages = PAYLOAD / 4096;
    reply.init.max_background = 12;
    reply.init.congestion_threshold = 10;
    if (write(device, &reply, sizeof reply) < 0) return errno;
    return !ring || wanted & CFK_INIT_OVER_IO_URING ? 0 : EOPNOTSUPP;
}

static void serve_device(int device, int is_next) {
    static char buffer[BUFFER], out[BUFFER];
    for (;;) {
        ssize_t count = read(device, buffer, sizeof buffer);
        if (count < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
        if (count < (ssize_t)sizeof(struct cfk_in_header)) return;
        const struct cfk_in_header *head = (const void *)buffer;
        if (head->opcode == CFK_FORGET || head->opcode == CFK_BATCH_FORGET || head->opcode == CFK_INTERRUPT)
            continue;
        const char *argument = buffer + sizeof *head;
        const char *name = head->opcode == CFK_MKDIR ? argument + 8 : argument;
        struct cfk_out_header *reply = (void *)out;
        size_t bytes;
        int error = answer(head, argument, name, out + sizeof *reply, &bytes, is_next, 0, 0);
        reply->len = (uint32_t)(sizeof *reply + (error ? 0 : bytes));
        reply->error = error;
        reply->unique = head->unique;
        if (write(device, out, reply->len) < 0 && errno == ENODEV) return;
    }
}

static void *serve_device_thread(void *device) {
    serve_device(*(int *)device, all->serving > 1);
    return NULL;
}

static int queue_count(void) { return get_nprocs_conf() < MOST_QUEUES ? get_nprocs_conf() : MOST_QUEUES; }

// Registers an entry with each queue and serves them. What became of the REGISTERs is in all->refused and
// all->serving.
static void serve_ring(int device, int is_next) {
    int count = queue_count();
    struct slot *slots = common && !is_next ? common
                                            : mmap(NULL, (size_t)count * sizeof *slots, PROT_READ | PROT_WRITE,
                                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct clu_ring ring;
    int code = clu_ring_open(&ring, (unsigned)count, CLU_SETUP_SQE128 | CLU_SETUP_SUBMIT_ALL, device);
    if (code != 0) {
        all->refused = -code;
        return;
    }
    for (int i = 0; i < count; i++) {
        slots[i].areas[0] = (struct iovec){&slots[i].head, sizeof slots[i].head};
        slots[i].areas[1] = (struct iovec){slots[i].payload, PAYLOAD};
        clu_ring_prepare(&ring, CFK_URING_CMD_REGISTER, (uint16_t)i, (uint64_t)i, 0, slots[i].areas);
    }
    clu_ring_enter(&ring, 0);
    usleep(100000);
    for (unsigned i = 0; i < clu_ring_completions(&ring); i++)
        if (clu_ring_completion(&ring, i).result < 0) all->refused = -clu_ring_completion(&ring, i).result;
    all->serving = is_next ? 2 : 1;
    if (all->refused) return;
    for (;;) {
        unsigned done = clu_ring_completions(&ring);
        for (unsigned i = 0; i < done; i++) {
            struct clu_completion completion = clu_ring_completion(&ring, i);
            if (completion.result < 0) {
                all->refused = -completion.result;
                return;
            }
            struct slot *slot = &slots[completion.entry];
            struct cfk_in_header head;
            memcpy(&head, &slot->head, sizeof head);
            char name[256];
            snprintf(name, sizeof name, "%.255s", slot->payload);
            char argument[128];
            memcpy(argument, slot->head.op_in, sizeof argument);
            uint64_t commit = slot->head.ring_ent_in_out.commit_id;
            size_t bytes;
            int error = answer(&head, argument, name, slot->payload, &bytes, is_next, commit,
                               (int)completion.entry);
            struct cfk_out_header reply = {(uint32_t)(sizeof reply + bytes), error, head.unique};
            memcpy(&slot->head, &reply, sizeof reply);
            slot->head.ring_ent_in_out.payload_sz = error ? 0 : (uint32_t)bytes;
            clu_ring_prepare(&ring, CFK_URING_CMD_COMMIT_AND_FETCH, (uint16_t)completion.entry,
                             completion.entry, commit, NULL);
        }
        clu_ring_advance(&ring, done);
        int entered = clu_ring_enter(&ring, 1);
        if (entered < 0 && entered != -EINTR) return;
    }
}

// MARK: processes

static pid_t begin(void) {
    pid_t child = fork();
    if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

static void end(pid_t child) {
    if (child <= 0) return;
    kill(child, SIGKILL);
    // Who waits for a connection that nobody has ended cannot die.
    for (int i = 0; i < 500 && waitpid(child, NULL, WNOHANG) == 0; i++) usleep(10000);
}

static pid_t server(int device, int ring, int is_next) {
    pid_t child = begin();
    if (child != 0) return child;
    if (!ring) {
        serve_device(device, is_next);
    } else {
        pthread_t thread;
        if (is_next) all->serving = 2;
        pthread_create(&thread, NULL, serve_device_thread, &device);
        serve_ring(device, is_next);
        pause();
    }
    _exit(0);
}

static sigjmp_buf faulted;
static void on_fault(int number) { siglongjmp(faulted, number); }

// Holds a file, a folder and a mapping, and uses them when it is told to.
static pid_t client(int makes) {
    pid_t child = begin();
    if (child != 0) return child;
    int file = -1;
    // The device would stay open with it.
    close_range(3, ~0U, 0);
    if (chdir(mountpoint) != 0 || (file = open("file", O_RDONLY)) < 0) {
        all->ready = -errno;
        _exit(1);
    }
    const volatile char *map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, file, 0);
    madvise((void *)map, FILE_BYTES, MADV_RANDOM);
    posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
    char byte = map[0];
    signal(SIGBUS, on_fault);
    all->ready = 1;
    while (!all->go) usleep(1000);
    if (makes) {
        all->made_result = mkdir("made", 0755) == 0 ? 0 : errno;
        _exit(0);
    }
    struct stat status;
    all->folder_result = stat("not there", &status) == 0 || errno == ENOENT ? 0 : errno;
    all->read_result = pread(file, &byte, 1, 100 * 4096) == 1 ? 0 : errno;
    if (sigsetjmp(faulted, 1) == 0) {
        byte = map[200 * 4096];
        all->map_result = byte == 'x' ? 0 : EIO;
    } else {
        all->map_result = EFAULT;
    }
    _exit(0);
}

// MARK: scenarios

// Opens a device, mounts, and answers INIT; -1 with errno.
static int mounted(int ring) {
    memset(all, 0, sizeof *all);
    all->read_result = all->folder_result = all->map_result = all->made_result = PENDING;
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    char options[128];
    snprintf(options, sizeof options, "fd=%d,rootmode=40755,user_id=0,group_id=0", device);
    if (device < 0 || mount("takeover", mountpoint, "fuse.takeover", 0, options) != 0) return -1;
    static char buffer[BUFFER];
    ssize_t count;
    do count = read(device, buffer, sizeof buffer);
    while (count < 0 && (errno == EINTR || errno == EAGAIN));
    int error = count < 0 ? errno
                          : reply_init(device, (void *)buffer,
                                       (void *)(buffer + sizeof(struct cfk_in_header)), ring);
    if (error == 0) return device;
    umount2(mountpoint, MNT_FORCE | MNT_DETACH);
    close(device);
    errno = error;
    return -1;
}

static void finish(int device, pid_t first, pid_t second, pid_t third) {
    umount2(mountpoint, MNT_FORCE);
    umount2(mountpoint, MNT_FORCE | MNT_DETACH);
    if (device >= 0) close(device);
    end(first);
    end(second);
    end(third);
}

// A mount with a server and a client that is ready. The server is dead when this returns.
static int prepared(int ring, int makes, pid_t *user) {
    int device = mounted(ring);
    if (device < 0) return -1;
    all->dies = makes;
    pid_t first = server(device, ring, 0);
    if (ring && (await(&all->serving, 0) == 0 || all->refused)) {
        int error = all->refused ? all->refused : ETIMEDOUT;
        finish(device, first, 0, 0);
        errno = error;
        return -1;
    }
    *user = client(makes);
    if (await(&all->ready, 0) != 1) {
        finish(device, first, *user, 0);
        errno = ETIMEDOUT;
        return -1;
    }
    if (makes) {
        all->go = 1;
        await(&all->taken, 0);
        waitpid(first, NULL, 0);
    } else {
        kill(first, SIGKILL);
        waitpid(first, NULL, 0);
    }
    return device;
}

static int resend(int device) {
    struct cfk_out_header notice = {sizeof notice, CFK_NOTIFY_RESEND, 0};
    return write(device, &notice, sizeof notice) < 0 ? errno : 0;
}

static void say_held(const char *key) {
    char text[200];
    int folder = await(&all->folder_result, PENDING);
    int file = await(&all->read_result, PENDING);
    int map = await(&all->map_result, PENDING);
    if (folder == file && file == map) {
        line(key, said(file));
    } else {
        snprintf(text, sizeof text, "file: %s, folder: %s, mapping: %s", said(file), said(folder),
                 map == EFAULT ? "SIGBUS" : said(map));
        line(key, text);
    }
}

// A mount whose server is dead, with a client that is ready, and who serves it next.
struct scene {
    int device;
    pid_t user, next;
};

// Begins a scene; without one each question is answered with the reason, and this returns 0.
static int begun(struct scene *scene, int ring, int makes, const char *const keys[], int count) {
    *scene = (struct scene){-1, 0, 0};
    scene->device = prepared(ring, makes, &scene->user);
    if (scene->device >= 0) return 1;
    char text[80];
    if (ring) snprintf(text, sizeof text, "no ring (%s)", strerrorname_np(errno));
    else snprintf(text, sizeof text, "%s", strerror(errno));
    for (int i = 0; i < count; i++) line(keys[i], text);
    return 0;
}

static void serve_next(struct scene *scene, int ring) {
    if (ring) all->serving = 0;
    scene->next = server(scene->device, ring, 1);
    if (ring) usleep(400000);
}

static void leave(const struct scene *scene) { finish(scene->device, scene->next, scene->user, 0); }

// Answers the request that the dead server took, by its number: 0 or an errno.
static int answer_by_number(const struct scene *scene) {
    struct {
        struct cfk_out_header head;
        struct cfk_entry_out entry;
    } reply;
    size_t bytes;
    entry(&reply.entry, &bytes, 3);
    reply.head = (struct cfk_out_header){sizeof reply, 0, all->unique};
    return write(scene->device, &reply, sizeof reply) < 0 ? errno : 0;
}

static const char *waited(_Atomic int *result) {
    return await(result, PENDING) == PENDING ? "waits for ever" : said(*result);
}

static void closed_device(void) {
    const char *keys[] = {"device: held files, descriptor closed"};
    struct scene scene;
    if (!begun(&scene, 0, 0, keys, 1)) return;
    close(scene.device);
    scene.device = -1;
    all->go = 1;
    say_held(keys[0]);
    leave(&scene);
}

static void kept_device(void) {
    const char *keys[] = {"device: held files, next server"};
    struct scene scene;
    if (!begun(&scene, 0, 0, keys, 1)) return;
    serve_next(&scene, 0);
    all->go = 1;
    say_held(keys[0]);
    leave(&scene);
}

static void taken_device(void) {
    const char *keys[] = {"device: taken request, by itself", "device: taken request, RESEND"};
    struct scene scene;
    if (!begun(&scene, 0, 1, keys, 1)) return;
    serve_next(&scene, 0);
    line(keys[0], waited(&all->made_result));
    int error = resend(scene.device);
    char text[120];
    if (error != 0) {
        snprintf(text, sizeof text, "%s", strerrorname_np(error));
    } else {
        int result = await(&all->made_result, PENDING);
        snprintf(text, sizeof text, "comes %d time%s%s, client: %s", all->again, all->again == 1 ? "" : "s",
                 all->marked ? ", marked" : "", said(result));
    }
    line(keys[1], text);
    leave(&scene);
}

static void known_device(void) {
    const char *keys[] = {"device: taken request, answered by its number", "device: the same answer once more"};
    struct scene scene;
    if (!begun(&scene, 0, 1, keys, 1)) return;
    int error = answer_by_number(&scene);
    char text[120];
    if (error != 0) snprintf(text, sizeof text, "%s", strerrorname_np(error));
    else snprintf(text, sizeof text, "client: %s", said(await(&all->made_result, PENDING)));
    line(keys[0], text);
    // A second answer must find nothing.
    error = answer_by_number(&scene);
    line(keys[1], error ? strerrorname_np(error) : "taken");
    leave(&scene);
}

static void kept_ring(void) {
    const char *keys[] = {"ring: new request, only /dev/fuse read", "ring: REGISTER by the next server",
                          "ring: held files, next server",
                          "ring: held files, after another request on each processor"};
    struct scene scene;
    if (!begun(&scene, 1, 0, keys, 4)) return;
    pid_t reader = server(scene.device, 0, 1);
    all->go = 1;
    line(keys[0], waited(&all->folder_result));
    end(reader);
    serve_next(&scene, 1);
    await(&all->serving, 0);
    line(keys[1], all->refused ? strerrorname_np(all->refused) : "accepted");
    say_held(keys[2]);
    // What waits in a queue is fetched when the queue has answered another request: one on each processor.
    pid_t other = begin();
    if (other == 0) {
        close_range(3, ~0U, 0);
        char path[PATH_MAX];
        struct stat status;
        for (int cpu = 0; cpu < queue_count(); cpu++) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET(cpu, &set);
            sched_setaffinity(0, sizeof set, &set);
            snprintf(path, sizeof path, "%s/none%d", mountpoint, cpu);
            stat(path, &status);
        }
        _exit(0);
    }
    usleep(400000);
    say_held(keys[3]);
    finish(scene.device, scene.next, scene.user, other);
}

static void fresh_ring(void) {
    const char *keys[] = {"ring: held files, next server registers at once"};
    struct scene scene;
    if (!begun(&scene, 1, 0, keys, 1)) return;
    serve_next(&scene, 1);
    all->go = 1;
    say_held(keys[0]);
    leave(&scene);
}

// Commits the request that the dead server took, by the number that it had for it.
static void commit_as_another(int device, const char *key) {
    struct clu_ring ring;
    char text[160];
    if (clu_ring_open(&ring, 4, CLU_SETUP_SQE128 | CLU_SETUP_SUBMIT_ALL, device) != 0) return;
    clu_ring_prepare(&ring, CFK_URING_CMD_COMMIT_AND_FETCH, (uint16_t)all->qid, 0, all->commit, NULL);
    clu_ring_enter(&ring, 0);
    for (int i = 0; i < 50 && clu_ring_completions(&ring) == 0; i++) usleep(10000);
    int result = clu_ring_completions(&ring) > 0 ? -clu_ring_completion(&ring, 0).result : 0;
    snprintf(text, sizeof text, "%s, client: %s", result ? strerrorname_np(result) : "taken",
             said(await(&all->made_result, PENDING)));
    line(key, text);
    clu_ring_close(&ring);
}

static void taken_ring(void) {
    const char *keys[] = {"ring: taken request, by itself", "ring: taken request, RESEND",
                          "ring: taken request, answered on /dev/fuse by its number",
                          "ring: taken request, committed by another process"};
    struct scene scene;
    if (!begun(&scene, 1, 1, keys, 4)) return;
    serve_next(&scene, 1);
    line(keys[0], waited(&all->made_result));
    int error = resend(scene.device);
    char text[160];
    snprintf(text, sizeof text, "%s, comes %d times, client: %s",
             error ? strerrorname_np(error) : "the notice is taken", all->again,
             said(await(&all->made_result, PENDING)));
    line(keys[1], text);
    error = answer_by_number(&scene);
    snprintf(text, sizeof text, "%s, client: %s", error ? strerrorname_np(error) : "taken",
             said(await(&all->made_result, PENDING)));
    line(keys[2], text);
    commit_as_another(scene.device, keys[3]);
    leave(&scene);
}

// The same with the buffers at the same addresses in both processes.
static void taken_shared_ring(void) {
    const char *keys[] = {"ring: the same with its buffers at the same addresses"};
    struct scene scene;
    common = mmap(NULL, (size_t)queue_count() * sizeof *common, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (begun(&scene, 1, 1, keys, 1)) {
        struct slot *slot = &common[all->qid];
        size_t bytes;
        entry(slot->payload, &bytes, 3);
        struct cfk_out_header head = {(uint32_t)(sizeof head + bytes), 0, all->unique};
        memcpy(&slot->head, &head, sizeof head);
        slot->head.ring_ent_in_out.payload_sz = (uint32_t)bytes;
        commit_as_another(scene.device, keys[0]);
        leave(&scene);
    }
    munmap(common, (size_t)queue_count() * sizeof *common);
    common = NULL;
}

// A second connection that takes the place of a dead one.
static void replaced(int beneath) {
    const char *key = beneath ? "new connection: beneath the dead mount" : "new connection: over the dead mount";
    struct scene scene;
    if (!begun(&scene, 0, 0, &key, 1)) return;
    close(scene.device);
    pid_t user = scene.user;
    char text[200];
    int error = 0, next = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    char options[128];
    snprintf(options, sizeof options, "fd=%d,rootmode=40755,user_id=0,group_id=0", next);
    if (!beneath) {
        if (mount("takeover", mountpoint, "fuse.takeover", 0, options) != 0) error = errno;
    } else {
        char number[16];
        snprintf(number, sizeof number, "%d", next);
        int context = (int)syscall(SYS_fsopen, "fuse", 1);
        syscall(SYS_fsconfig, context, 1, "fd", number, 0);
        syscall(SYS_fsconfig, context, 1, "rootmode", "40755", 0);
        syscall(SYS_fsconfig, context, 1, "user_id", "0", 0);
        syscall(SYS_fsconfig, context, 1, "group_id", "0", 0);
        if (syscall(SYS_fsconfig, context, 6, NULL, NULL, 0) != 0) error = errno;
        int tree = error ? -1 : (int)syscall(SYS_fsmount, context, 1, 0);
        if (error == 0 && tree < 0) error = errno;
        if (error == 0 && syscall(SYS_move_mount, tree, "", AT_FDCWD, mountpoint, 4 | 0x200) != 0)
            error = errno;
        close(context);
        if (tree >= 0) close(tree);
        if (error == 0) umount2(mountpoint, MNT_DETACH);
    }
    if (error != 0) {
        line(key, strerrorname_np(error));
        close(next);
        return finish(-1, user, 0, 0);
    }
    static char buffer[BUFFER];
    while (read(next, buffer, sizeof buffer) < 0 && (errno == EINTR || errno == EAGAIN)) {}
    reply_init(next, (void *)buffer, (void *)(buffer + sizeof(struct cfk_in_header)), 0);
    pid_t second = server(next, 0, 1);
    struct stat status;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/file", mountpoint);
    int found = stat(path, &status) == 0 ? 0 : errno;
    all->go = 1;
    int file = await(&all->read_result, PENDING);
    int folder = await(&all->folder_result, PENDING);
    snprintf(text, sizeof text, "path: %s, held file: %s, held folder: %s", said(found), said(file),
             said(folder));
    line(key, text);
    finish(next, second, user, 0);
    umount2(mountpoint, MNT_FORCE | MNT_DETACH);
}

int main(int count, char *arguments[]) {
    if (count < 2) {
        fprintf(stderr, "usage: takeover DIR [SECONDS]\n");
        return 2;
    }
    mountpoint = arguments[1];
    if (count > 2) seconds = atoi(arguments[2]);
    signal(SIGPIPE, SIG_IGN);
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    closed_device();
    kept_device();
    taken_device();
    known_device();
    fresh_ring();
    kept_ring();
    taken_ring();
    taken_shared_ring();
    replaced(0);
    replaced(1);
    return 0;
}

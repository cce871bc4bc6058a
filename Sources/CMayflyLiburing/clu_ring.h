// The ring as a queue thread sees it: prepare a command, enter, read completions.
//
// liburing sets the ring up and takes it down. Between those, a queue needs so little that it works
// on the shared words itself: the same code then runs over memory that no kernel has mapped, which
// is how the kernel double plays the kernel's part (it replaces `enter` and nothing else).
#ifndef CLU_RING_H
#define CLU_RING_H

// liburing.h is included by shim.h, in the order that matters.

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define CLU_NO_LOCKS __attribute__((swift_attr("@_noLocks")))

// Bytes of one submission entry: FUSE commands need IORING_SETUP_SQE128.
enum { CLU_SQE_BYTES = 128 };

// Setup flags by their kernel names; macros of a cast do not import into Swift.
static const unsigned CLU_SETUP_SUBMIT_ALL = IORING_SETUP_SUBMIT_ALL;
static const unsigned CLU_SETUP_SQE128 = IORING_SETUP_SQE128;
static const unsigned CLU_SETUP_SINGLE_ISSUER = IORING_SETUP_SINGLE_ISSUER;
static const unsigned CLU_SETUP_DEFER_TASKRUN = IORING_SETUP_DEFER_TASKRUN;
static const unsigned CLU_SETUP_COOP_TASKRUN = IORING_SETUP_COOP_TASKRUN;
static const unsigned CLU_SETUP_R_DISABLED = IORING_SETUP_R_DISABLED;

// One ring. Pointers marked "shared" are words that the other side reads or writes as well.
struct clu_ring {
    unsigned *sq_head;   // shared: written by the kernel when it has taken entries
    unsigned *sq_tail;   // shared: written by us, released after the entries are complete
    unsigned *cq_head;   // shared: written by us when completions are used
    unsigned *cq_tail;   // shared: written by the kernel
    unsigned char *sqes; // CLU_SQE_BYTES each
    struct io_uring_cqe *cqes;
    unsigned sq_mask, cq_mask;
    unsigned sq_next;     // our tail, ahead of *sq_tail by what is prepared
    unsigned enter_flags; // of io_uring_enter(2)
    int enter_fd;
    int device_fd;
    // Stands in for io_uring_enter(2) in tests; NULL for a real ring.
    int (*enter)(void *context, unsigned submit, unsigned wait);
    void *context;
    struct io_uring uring; // liburing's own bookkeeping, for set-up and take-down
};

// What a completion says: which entry, and 0 for a request or a negated errno.
struct clu_completion {
    uint64_t entry;
    int32_t result;
};

// Sets up a ring for commands on the /dev/fuse descriptor `fd`. Returns 0 or a negated errno.
//
// It is no registered file of the ring. That would save the kernel a reference count per command,
// and have it keep the file until a dead ring is freed, after a grace period of RCU: the clients of
// a killed server hear of its death when the last file is closed.
static inline int clu_ring_open(struct clu_ring *ring, unsigned entries, unsigned flags, int fd) {
    struct io_uring_params parameters;
    memset(ring, 0, sizeof *ring);
    memset(&parameters, 0, sizeof parameters);
    parameters.flags = flags;
    int code = io_uring_queue_init_params(entries, &ring->uring, &parameters);
    if (code) return code;
    ring->device_fd = fd;
    ring->sq_head = ring->uring.sq.khead;
    ring->sq_tail = ring->uring.sq.ktail;
    ring->cq_head = ring->uring.cq.khead;
    ring->cq_tail = ring->uring.cq.ktail;
    ring->sqes = (unsigned char *)ring->uring.sq.sqes;
    ring->cqes = ring->uring.cq.cqes;
    ring->sq_mask = *ring->uring.sq.kring_mask;
    ring->cq_mask = *ring->uring.cq.kring_mask;
    ring->sq_next = *ring->sq_tail;
    // The index array is set once to the identity: slot n of the ring is always entry n.
    for (unsigned n = 0; n <= ring->sq_mask; n++) ring->uring.sq.array[n] = n;
    ring->enter_fd = ring->uring.ring_fd;
    ring->enter_flags = IORING_ENTER_GETEVENTS;
    return 0;
}

// Takes the ring over for the calling thread: enables a ring made with R_DISABLED (the enabling
// thread becomes its single issuer) and registers the ring's own descriptor, which saves a lookup
// with an atomic reference per io_uring_enter(2). Returns 0 or a negated errno.
static inline int clu_ring_adopt(struct clu_ring *ring) {
    if (ring->enter) return 0;
    if (ring->uring.flags & IORING_SETUP_R_DISABLED) {
        // Not io_uring_enable_rings(): liburing 2.3 declares it and does not export it.
        long code = syscall(
            SYS_io_uring_register, ring->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
        if (code < 0) return -errno;
    }
    if (io_uring_register_ring_fd(&ring->uring) == 1) {
        ring->enter_fd = ring->uring.enter_ring_fd;
        ring->enter_flags |= IORING_ENTER_REGISTERED_RING;
    }
    return 0;
}

static inline void clu_ring_close(struct clu_ring *ring) {
    if (!ring->enter) io_uring_queue_exit(&ring->uring);
}

// Prepares one FUSE command; it is submitted by the next clu_ring_enter. `buffers` names the two
// areas of a REGISTER and is NULL for COMMIT_AND_FETCH. Returns -1 when the ring is full.
CLU_NO_LOCKS static inline int clu_ring_prepare(
    struct clu_ring *ring, uint32_t operation, uint16_t qid, uint64_t entry, uint64_t commit_id,
    const struct iovec *buffers) {
    unsigned taken = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
    if (ring->sq_next - taken > ring->sq_mask) return -1;
    size_t place = (size_t)(ring->sq_next & ring->sq_mask) * CLU_SQE_BYTES;
    struct io_uring_sqe *sqe = (struct io_uring_sqe *)(ring->sqes + place);
    memset(sqe, 0, CLU_SQE_BYTES);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = ring->device_fd;
    sqe->cmd_op = operation;
    sqe->user_data = entry;
    if (buffers) {
        sqe->addr = (uintptr_t)buffers;
        sqe->len = 2;
    }
    // struct fuse_uring_cmd_req stands in the command area, 48 bytes into the entry.
    unsigned char *command = (unsigned char *)sqe + 48;
    memcpy(command + 8, &commit_id, sizeof commit_id);
    memcpy(command + 16, &qid, sizeof qid);
    ring->sq_next++;
    return 0;
}

// Number of prepared commands that the kernel has not taken; it reads what they point to until then.
CLU_NO_LOCKS static inline unsigned clu_ring_unsubmitted(const struct clu_ring *ring) {
    return ring->sq_next - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
}

// Submits what is prepared and waits for `wait` completions, in one io_uring_enter(2). Returns 0 or
// more, or a negated errno. The kernel may take a part only, and waits for nothing then; what it has
// not taken stays prepared for the next call (io_uring/io_uring.c, io_submit_sqes()).
CLU_NO_LOCKS static inline int clu_ring_enter(struct clu_ring *ring, unsigned wait) {
    __atomic_store_n(ring->sq_tail, ring->sq_next, __ATOMIC_RELEASE);
    unsigned submit = clu_ring_unsubmitted(ring);
    if (__builtin_expect(ring->enter != NULL, 0)) return ring->enter(ring->context, submit, wait);
    long code =
        syscall(SYS_io_uring_enter, ring->enter_fd, submit, wait, ring->enter_flags, NULL, 0);
    return code < 0 ? -errno : (int)code;
}

// The same, for so many nanoseconds at most: 0 when they are over. Linux 5.11.
CLU_NO_LOCKS static inline int clu_ring_enter_for(
    struct clu_ring *ring, unsigned wait, uint64_t nanoseconds) {
    __atomic_store_n(ring->sq_tail, ring->sq_next, __ATOMIC_RELEASE);
    unsigned submit = clu_ring_unsubmitted(ring);
    if (__builtin_expect(ring->enter != NULL, 0)) return ring->enter(ring->context, submit, wait);
    struct __kernel_timespec time = {
        .tv_sec = (int64_t)(nanoseconds / 1000000000), .tv_nsec = (long long)(nanoseconds % 1000000000)};
    struct io_uring_getevents_arg argument = {.ts = (uintptr_t)&time};
    long code = syscall(
        SYS_io_uring_enter, ring->enter_fd, submit, wait, ring->enter_flags | IORING_ENTER_EXT_ARG,
        &argument, sizeof argument);
    if (code >= 0) return (int)code;
    return errno == ETIME ? 0 : -errno;
}

// The entry that the index-th of these commands names.
static inline uint64_t clu_ring_prepared(const struct clu_ring *ring, unsigned index) {
    unsigned place = (__atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE) + index) & ring->sq_mask;
    const struct io_uring_sqe *sqe =
        (const struct io_uring_sqe *)(ring->sqes + (size_t)place * CLU_SQE_BYTES);
    return sqe->user_data;
}

// Takes back what is prepared and not taken. The kernel looks at the tail in io_uring_enter(2) only.
static inline void clu_ring_retract(struct clu_ring *ring) {
    ring->sq_next = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
    __atomic_store_n(ring->sq_tail, ring->sq_next, __ATOMIC_RELEASE);
}

// Number of completions that can be read now.
CLU_NO_LOCKS static inline unsigned clu_ring_completions(const struct clu_ring *ring) {
    return __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) - *ring->cq_head;
}

// The index-th completion that can be read; index is below clu_ring_completions.
CLU_NO_LOCKS static inline struct clu_completion clu_ring_completion(
    const struct clu_ring *ring, unsigned index) {
    const struct io_uring_cqe *cqe = &ring->cqes[(*ring->cq_head + index) & ring->cq_mask];
    return (struct clu_completion){cqe->user_data, cqe->res};
}

// Gives count completions back to the kernel.
CLU_NO_LOCKS static inline void clu_ring_advance(struct clu_ring *ring, unsigned count) {
    __atomic_store_n(ring->cq_head, *ring->cq_head + count, __ATOMIC_RELEASE);
}

#endif

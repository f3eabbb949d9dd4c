// futex(2): wait, wake, requeue, bitset, timeouts, wake-op, priority inheritance basics;
// robust lists.
#include "oracle.h"
#include <linux/futex.h>

static uint32_t word, word2;

static long futex(uint32_t *u, int op, uint32_t v, void *t, uint32_t *u2, uint32_t v3)
{
	return syscall(SYS_futex, u, op, v, t, u2, v3);
}

static volatile int woken;
static volatile pid_t tids[16];

static void *waiter(void *arg)
{
	tids[(long)arg] = gettid();
	while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
		futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *once(void *arg)
{
	(void)arg;
	long r;
	do
		r = futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	while (r < 0 && errno == EINTR);
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return (void *)r;
}

CASE(futex_wait_value_differs)
{
	word = 1;
	ERR(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0), EAGAIN);
	ERR(futex(&word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0), EAGAIN);
	EQ(futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0), 0);
}

CASE(futex_errors)
{
	struct timespec bad = {0, 1000000000}, neg = {-1, 0};
	word = 0;
	ERR(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
	ERR(futex(BAD_PTR, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
	ERR(futex(&word, 99, 0, NULL, NULL, 0), ENOSYS);
	ERR(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
	ERR(futex(&word, FUTEX_WAIT, 0, &neg, NULL, 0), EINVAL);
	ERR(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
	ERR(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
	ERR(futex(&word, FUTEX_WAIT, 0, BAD_PTR, NULL, 0), EFAULT);
}

CASE(futex_timeout)
{
	struct timespec ts = {0, 30000000}, now;
	word = 0;
	long long t = now_ms();
	ERR(futex(&word, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0), ETIMEDOUT);
	CHECK(now_ms() - t >= 29);
	OK(clock_gettime(CLOCK_MONOTONIC, &now));
	now.tv_sec -= 1;
	ERR(futex(&word, FUTEX_WAIT_BITSET, 0, &now, NULL, ~0u), ETIMEDOUT); // absolute
	OK(clock_gettime(CLOCK_REALTIME, &now));
	now.tv_nsec += 20000000;
	if (now.tv_nsec >= 1000000000)
		now.tv_sec++, now.tv_nsec -= 1000000000;
	ERR(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &now, NULL, ~0u), ETIMEDOUT);
}

CASE(futex_wake_counts)
{
	pthread_t t[6];
	word = 0;
	for (long i = 0; i < 6; i++)
		EQ(pthread_create(&t[i], NULL, once, NULL), 0);
	int total = 0;
	WAIT_FOR((total += futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0)) == 2);
	WAIT_FOR((total += futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0)) == 6);
	for (int i = 0; i < 6; i++) {
		void *r;
		EQ(pthread_join(t[i], &r), 0);
		EQ((long)r, 0);
	}
	EQ(woken, 6);
}

CASE(futex_wake_all_waiters)
{
	pthread_t t[8];
	for (long i = 0; i < 8; i++)
		EQ(pthread_create(&t[i], NULL, waiter, (void *)i), 0);
	msleep(20);
	__atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
	futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	for (int i = 0; i < 8; i++)
		EQ(pthread_join(t[i], NULL), 0);
	EQ(woken, 8);
}

CASE(futex_requeue)
{
	pthread_t t[4];
	word = word2 = 0;
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, once, NULL), 0);
	int moved = 0;
	ERR(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)4L, &word2, 77), EAGAIN);
	WAIT_FOR((moved += futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)4L, &word2, 0)) == 4);
	EQ(woken, 0);
	EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 0);
	EQ(futex(&word2, FUTEX_WAKE_PRIVATE, 3, NULL, NULL, 0), 3);
	EQ(futex(&word2, FUTEX_WAKE_PRIVATE, 3, NULL, NULL, 0), 1);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
}

static void *bit_waiter(void *bits)
{
	long r;
	do
		r = futex(&word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, (uint32_t)(long)bits);
	while (r < 0 && errno == EINTR);
	__atomic_or_fetch(&woken, (int)(long)bits, __ATOMIC_SEQ_CST);
	return NULL;
}

CASE(futex_bitset_selects)
{
	pthread_t a, b;
	word = 0;
	EQ(pthread_create(&a, NULL, bit_waiter, (void *)1L), 0);
	EQ(pthread_create(&b, NULL, bit_waiter, (void *)2L), 0);
	WAIT_FOR(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 2) == 1);
	EQ(pthread_join(b, NULL), 0);
	EQ(woken, 2);
	WAIT_FOR(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 5) == 1);
	EQ(pthread_join(a, NULL), 0);
}

CASE(futex_wake_op)
{
	pthread_t t;
	word = 0;
	word2 = 5;
	EQ(pthread_create(&t, NULL, once, NULL), 0);
	// wake 1 at word; word2 += 10; if the old value was > 4, wake 1 at word2 as well
	WAIT_FOR(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1L, &word2,
		       FUTEX_OP(FUTEX_OP_ADD, 10, FUTEX_OP_CMP_GT, 4)) == 1);
	CHECK(word2 >= 15 && word2 % 10 == 5);
	EQ(pthread_join(t, NULL), 0);
	word2 = 6;
	EQ(futex(&word, FUTEX_WAKE_OP, 1, (void *)1L, &word2, FUTEX_OP(FUTEX_OP_SET, 3, FUTEX_OP_CMP_EQ, 0)), 0);
	EQ(word2, 3);
	futex(&word, FUTEX_WAKE_OP, 1, (void *)1L, &word2, FUTEX_OP(FUTEX_OP_XOR, 1, FUTEX_OP_CMP_EQ, 0));
	EQ(word2, 2);
}

CASE(futex_shared_between_processes)
{
	uint32_t *u = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	CHILD(k) {
		while (__atomic_load_n(u, __ATOMIC_SEQ_CST) == 0)
			futex(u, FUTEX_WAIT, 0, NULL, NULL, 0);
		_exit(*u);
	}
	msleep(20);
	__atomic_store_n(u, 7, __ATOMIC_SEQ_CST);
	futex(u, FUTEX_WAKE, 1, NULL, NULL, 0);
	REAP_EXIT(k, 7);
}

CASE(futex_shared_by_file_at_different_addresses)
{
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(ftruncate(fd, 4096));
	uint32_t *a = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	uint32_t *b = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	CHECK(a != b);
	CHILD(k) {
		while (__atomic_load_n(b, __ATOMIC_SEQ_CST) == 0)
			futex(b, FUTEX_WAIT, 0, NULL, NULL, 0);
	}
	msleep(20);
	__atomic_store_n(a, 1, __ATOMIC_SEQ_CST);
	futex(a, FUTEX_WAKE, 1, NULL, NULL, 0);
	REAP(k);
}

CASE(futex_private_does_not_cross_processes)
{
	uint32_t *u = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	CHILD(k) {
		struct timespec ts = {0, 200000000};
		ERR(futex(u, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0), ETIMEDOUT);
	}
	for (int i = 0; i < 20; i++) {
		EQ(futex(u, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
		msleep(2);
	}
	REAP(k);
}

CASE(futex_interrupted)
{
	word = 0;
	struct timespec ts = {15, 0};
	start_ticks(0);
	ERR(futex(&word, FUTEX_WAIT, 0, &ts, NULL, 0), EINTR);
	stop_ticks();
}

CASE(futex_wait_on_read_only_memory)
{
	uint32_t *u = OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	struct timespec ts = {0, 1000000};
	ERR(futex(u, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0), ETIMEDOUT);
	ERR(futex(u, FUTEX_WAIT_PRIVATE, 1, &ts, NULL, 0), EAGAIN);
}

CASE(futex_lock_pi)
{
	word = 0;
	OK(futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
	EQ(word & FUTEX_TID_MASK, gettid());
	ERR(futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), EDEADLK);
	ERR(futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0), EDEADLK);
	OK(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
	EQ(word, 0);
	ERR(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), EPERM);
}

static void *pi_locker(void *arg)
{
	(void)arg;
	if (futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0) < 0)
		return (void *)(long)errno;
	woken = gettid();
	futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
	return NULL;
}

CASE(futex_lock_pi_contended)
{
	pthread_t t;
	void *r;
	word = 0;
	OK(futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
	EQ(pthread_create(&t, NULL, pi_locker, NULL), 0);
	WAIT_FOR(__atomic_load_n(&word, __ATOMIC_SEQ_CST) & FUTEX_WAITERS);
	EQ(word & FUTEX_TID_MASK, gettid());
	EQ(woken, 0);
	OK(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
	EQ(pthread_join(t, &r), 0);
	EQ((long)r, 0);
	CHECK(woken != 0);
}

static struct {
	struct robust_list_head head;
	struct robust_list entry;
	uint32_t lock;
} *rb;

static void robust_setup(void)
{
	rb = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	rb->head.list.next = &rb->entry;
	rb->entry.next = &rb->head.list;
	rb->head.futex_offset = (char *)&rb->lock - (char *)&rb->entry;
}

CASE(robust_list_marks_owner_died)
{
	robust_setup();
	CHILD(k) {
		OK(syscall(SYS_set_robust_list, &rb->head, sizeof rb->head));
		rb->lock = gettid();
		syscall(SYS_exit, 0);
	}
	REAP(k);
	EQ(rb->lock, FUTEX_OWNER_DIED);
}

CASE(robust_list_wakes_waiter)
{
	robust_setup();
	CHILD(k) {
		OK(syscall(SYS_set_robust_list, &rb->head, sizeof rb->head));
		__atomic_store_n(&rb->lock, gettid(), __ATOMIC_SEQ_CST);
		while (!(__atomic_load_n(&rb->lock, __ATOMIC_SEQ_CST) & FUTEX_WAITERS))
			msleep(1);
		msleep(20);
		raise(SIGKILL);
	}
	WAIT_FOR(__atomic_load_n(&rb->lock, __ATOMIC_SEQ_CST) == (uint32_t)k);
	uint32_t v = k | FUTEX_WAITERS;
	__atomic_store_n(&rb->lock, v, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&rb->lock, __ATOMIC_SEQ_CST) == v)
		futex(&rb->lock, FUTEX_WAIT, v, NULL, NULL, 0);
	EQ(rb->lock, FUTEX_OWNER_DIED | FUTEX_WAITERS);
	REAP_SIGNAL(k, SIGKILL);
}

CASE(robust_list_other_owner_untouched)
{
	robust_setup();
	CHILD(k) {
		OK(syscall(SYS_set_robust_list, &rb->head, sizeof rb->head));
		rb->lock = getppid();
		syscall(SYS_exit, 0);
	}
	REAP(k);
	EQ(rb->lock, getpid());
}

CASE(robust_list_calls)
{
	struct robust_list_head *h = NULL;
	size_t len = 0;
	robust_setup();
	ERR(syscall(SYS_set_robust_list, &rb->head, 7), EINVAL);
	OK(syscall(SYS_set_robust_list, &rb->head, sizeof rb->head));
	OK(syscall(SYS_get_robust_list, 0, &h, &len));
	CHECK(h == &rb->head);
	EQ(len, sizeof *h);
	ERR(syscall(SYS_get_robust_list, 4000000, &h, &len), ESRCH);
}

CASE(robust_list_circular_or_bad_is_survived)
{
	robust_setup();
	CHILD(k) {
		rb->entry.next = &rb->entry; // never comes back to the head
		OK(syscall(SYS_set_robust_list, &rb->head, sizeof rb->head));
		syscall(SYS_exit, 0);
	}
	REAP(k);
	CHILD(m) {
		OK(syscall(SYS_set_robust_list, BAD_PTR, sizeof rb->head));
		syscall(SYS_exit, 0);
	}
	REAP(m);
}

CASE(robust_mutex_of_pthread)
{
	pthread_mutex_t *m = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	EQ(pthread_mutex_init(m, &a), 0);
	CHILD(k) {
		EQ(pthread_mutex_lock(m), 0);
		_exit(0);
	}
	REAP(k);
	EQ(pthread_mutex_lock(m), EOWNERDEAD);
	EQ(pthread_mutex_consistent(m), 0);
	EQ(pthread_mutex_unlock(m), 0);
	EQ(pthread_mutex_lock(m), 0);
}

struct waitv {
	uint64_t val, uaddr;
	uint32_t flags, reserved;
};

CASE(futex_waitv)
{
	struct waitv w[2] = {{0, (uintptr_t)&word, 2, 0}, {0, (uintptr_t)&word2, 2, 0}};
	struct timespec past = {0, 0};
	word = word2 = 0;
	ERR(syscall(449, w, 2, 0, &past, CLOCK_MONOTONIC), ETIMEDOUT);
	word2 = 1;
	ERR(syscall(449, w, 2, 0, NULL, 0), EAGAIN);
	ERR(syscall(449, w, 0, 0, NULL, 0), EINVAL);
	ERR(syscall(449, w, 129, 0, NULL, 0), EINVAL);
	ERR(syscall(449, w, 2, 1, NULL, 0), EINVAL);
}

// Credentials: set*uid(2), set*gid(2), setgroups(2), capabilities(7), prctl(2), securebits.
#include "oracle.h"
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

struct capset {
	uint64_t eff, prm, inh;
};

static struct capset caps(pid_t pid)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, pid};
	struct __user_cap_data_struct d[2];
	OK(syscall(SYS_capget, &h, d));
	return (struct capset){d[0].effective | (uint64_t)d[1].effective << 32,
			       d[0].permitted | (uint64_t)d[1].permitted << 32,
			       d[0].inheritable | (uint64_t)d[1].inheritable << 32};
}

static int set_caps(uint64_t eff, uint64_t prm, uint64_t inh)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{eff, prm, inh}, {eff >> 32, prm >> 32, inh >> 32}};
	return syscall(SYS_capset, &h, d);
}

#define BIT(c) (1ULL << (c))
#define IDS(get, r, e, s)                                                    \
	do {                                                                 \
		unsigned a_, b_, c_;                                         \
		OK(get(&a_, &b_, &c_));                                      \
		EQ(a_, r);                                                   \
		EQ(b_, e);                                                   \
		EQ(c_, s);                                                   \
	} while (0)

CASE(setuid_as_root_sets_all)
{
	CHILD(k) {
		OK(setuid(1000));
		IDS(getresuid, 1000, 1000, 1000);
		ERR(setuid(0), EPERM);
		OK(setuid(1000));
		EQ(caps(0).prm, 0);
	}
	REAP(k);
}

CASE(setresuid_semantics)
{
	CHILD(k) {
		OK(setresuid(1, 2, 3));
		IDS(getresuid, 1, 2, 3);
		OK(setresuid(-1, 3, -1));
		IDS(getresuid, 1, 3, 3);
		OK(setresuid(3, 1, 3));
		IDS(getresuid, 3, 1, 3);
		ERR(setresuid(-1, 2, -1), EPERM);
		ERR(setresuid(7, -1, -1), EPERM);
	}
	REAP(k);
	ERR(syscall(SYS_getresuid, BAD_PTR, BAD_PTR, BAD_PTR), EFAULT);
}

CASE(setreuid_semantics)
{
	CHILD(k) {
		OK(setreuid(1000, 2000));
		IDS(getresuid, 1000, 2000, 2000);
		OK(setreuid(2000, 1000));
		IDS(getresuid, 2000, 1000, 1000);
		ERR(setreuid(-1, 3000), EPERM);
		ERR(setreuid(3000, -1), EPERM);
	}
	REAP(k);
	CHILD(m) {
		OK(setreuid(-1, 1000));
		IDS(getresuid, 0, 1000, 1000);
		OK(setreuid(-1, 0)); // the real id is still 0; the saved one stays
		IDS(getresuid, 0, 0, 1000);
	}
	REAP(m);
}

CASE(seteuid_drops_and_regains_effective_capabilities)
{
	CHILD(k) {
		struct capset before = caps(0);
		CHECK(before.eff & BIT(CAP_CHOWN));
		OK(setresuid(-1, 1000, -1));
		EQ(caps(0).eff, 0);
		EQ(caps(0).prm, before.prm);
		OK(setresuid(-1, 0, -1));
		EQ(caps(0).eff, before.prm);
	}
	REAP(k);
}

CASE(setgid_semantics)
{
	CHILD(k) {
		OK(setresgid(1, 2, 3));
		IDS(getresgid, 1, 2, 3);
		OK(setgid(9));
		IDS(getresgid, 9, 9, 9);
		OK(setresuid(5, 5, 5));
		ERR(setgid(1), EPERM);
		ERR(setresgid(1, -1, -1), EPERM);
		OK(setregid(9, 9));
		ERR(setregid(-1, 1), EPERM);
	}
	REAP(k);
}

CASE(setgroups_semantics)
{
	CHILD(k) {
		gid_t g[4] = {5, 3, 5, 9}, r[8];
		OK(syscall(SYS_setgroups, 4, g));
		EQ(getgroups(0, NULL), 4);
		EQ(getgroups(8, r), 4);
		EQ(r[0], 3); // sorted
		EQ(r[3], 9);
		ERR(getgroups(3, r), EINVAL);
		ERR(syscall(SYS_setgroups, 65537, g), EINVAL);
		ERR(syscall(SYS_setgroups, 4, BAD_PTR), EFAULT);
		OK(syscall(SYS_setgroups, 0, NULL));
		EQ(getgroups(0, NULL), 0);
		OK(setresuid(5, 5, 5));
		ERR(syscall(SYS_setgroups, 1, g), EPERM);
	}
	REAP(k);
}

CASE(groups_give_access)
{
	put_file("f", "x");
	OK(chown("f", 0, 4545));
	OK(chmod("f", 0640));
	CHILD(k) {
		gid_t g[] = {4545};
		OK(syscall(SYS_setgroups, 1, g));
		OK(setresgid(65534, 65534, 65534));
		OK(setresuid(65534, 65534, 65534));
		OK(open("f", O_RDONLY));
		ERR(open("f", O_RDWR), EACCES);
	}
	REAP(k);
}

CASE(setfsuid_semantics)
{
	put_file("f", "x");
	OK(chmod("f", 0600));
	CHILD(k) {
		EQ(setfsuid(1000), 0);
		EQ(setfsuid(-1), 1000); // an impossible value reads it
		ERR(open("f", O_RDONLY), EACCES); // file capabilities went with it
		EQ(geteuid(), 0);
		EQ(setfsuid(0), 1000);
		OK(open("f", O_RDONLY));
		EQ(setfsgid(7), 0);
		EQ(setfsgid(-1), 7);
		struct stat st;
		put_file("g", "");
		OK(stat("g", &st));
		EQ(st.st_gid, 7);
	}
	REAP(k);
}

CASE(files_get_the_creators_ids)
{
	struct stat st;
	CHILD(k) {
		OK(setresgid(-1, 321, -1));
		OK(setresuid(-1, 123, -1));
		put_file("f", "");
		OK(mkdir("d", 0755));
		OK(symlink("x", "l"));
		OK(lstat("l", &st));
		EQ(st.st_uid, 123);
	}
	REAP(k);
	OK(stat("f", &st));
	EQ(st.st_uid, 123);
	EQ(st.st_gid, 321);
	OK(stat("d", &st));
	EQ(st.st_uid, 123);
	EQ(st.st_gid, 321);
}

CASE(capget_errors)
{
	struct __user_cap_header_struct h = {0, 0};
	struct __user_cap_data_struct d[2];
	ERR(syscall(SYS_capget, &h, d), EINVAL);
	EQ(h.version, _LINUX_CAPABILITY_VERSION_3); // tells the version it knows
	h.version = 0;
	EQ(syscall(SYS_capget, &h, NULL), 0); // asking for it is no error
	h.pid = 4000000;
	ERR(syscall(SYS_capget, &h, d), ESRCH);
	h.pid = -1;
	ERR(syscall(SYS_capget, &h, d), EINVAL);
	ERR(syscall(SYS_capget, BAD_PTR, d), EFAULT);
}

CASE(capset_drops_for_good)
{
	CHILD(k) {
		struct capset c = caps(0);
		OK(set_caps(c.eff & ~BIT(CAP_CHOWN), c.prm, c.inh));
		put_file("f", "");
		ERR(chown("f", 5, 5), EPERM);
		OK(set_caps(c.eff, c.prm, c.inh));
		OK(chown("f", 5, 5));
		OK(set_caps(c.eff & ~BIT(CAP_CHOWN), c.prm & ~BIT(CAP_CHOWN), c.inh));
		ERR(set_caps(c.eff, c.prm, c.inh), EPERM);
		ERR(set_caps(c.eff, c.prm & ~BIT(CAP_CHOWN), c.inh), EPERM); // effective beyond permitted
		ERR(chown("f", 6, 6), EPERM);
	}
	REAP(k);
}

CASE(capset_other_process_refused)
{
	CHILD(k) {
		struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, getppid()};
		struct __user_cap_data_struct d[2] = {0};
		ERR(syscall(SYS_capset, &h, d), EPERM);
		caps(getppid()); // reading is allowed
	}
	REAP(k);
}

CASE(keepcaps)
{
	CHILD(k) {
		struct capset before = caps(0);
		EQ(prctl(PR_GET_KEEPCAPS), 0);
		OK(prctl(PR_SET_KEEPCAPS, 1));
		EQ(prctl(PR_GET_KEEPCAPS), 1);
		OK(setresuid(1000, 1000, 1000));
		EQ(caps(0).prm, before.prm);
		EQ(caps(0).eff, 0);
		OK(set_caps(BIT(CAP_CHOWN), BIT(CAP_CHOWN), 0));
		put_file("f", "");
		OK(chown("f", 0, 0));
		ERR(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
	}
	REAP(k);
}

CASE(bounding_set)
{
	EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
	ERR(prctl(PR_CAPBSET_READ, 999), EINVAL);
	CHILD(k) {
		OK(prctl(PR_CAPBSET_DROP, CAP_MKNOD));
		EQ(prctl(PR_CAPBSET_READ, CAP_MKNOD), 0);
		CHECK(caps(0).eff & BIT(CAP_MKNOD)); // no effect before exec
		ERR(prctl(PR_CAPBSET_DROP, 999), EINVAL);
		OK(setresuid(1, 1, 1));
		ERR(prctl(PR_CAPBSET_DROP, CAP_CHOWN), EPERM);
	}
	REAP(k);
}

HELPER(has)
{
	struct capset c = caps(0);
	// 1 if the capability is effective, 2 if it is permitted only
	return c.eff >> atoi(argv[1]) & 1 ? 1 : c.prm >> atoi(argv[1]) & 1 ? 2 : 0;
}

static int has_after_exec(int cap)
{
	char n[8];
	int st;
	sprintf(n, "%d", cap);
	if (access("self", X_OK) < 0)
		copy_self("self");
	CHILD(k) {
		execl("./self", "x", "--helper", "has", n, NULL);
		_exit(99);
	}
	EQ(waitpid(k, &st, 0), k);
	CHECK(WIFEXITED(st));
	return WEXITSTATUS(st);
}

CASE(capabilities_over_exec)
{
	EQ(has_after_exec(CAP_CHOWN), 1); // root keeps them
	CHILD(k) {
		OK(prctl(PR_CAPBSET_DROP, CAP_MKNOD));
		EQ(has_after_exec(CAP_MKNOD), 0);
		EQ(has_after_exec(CAP_CHOWN), 1);
		struct capset c = caps(0);
		OK(set_caps(0, 0, 0));
		EQ(has_after_exec(CAP_CHOWN), 1); // root regains them by exec
		(void)c;
	}
	REAP(k);
	CHILD(m) {
		OK(prctl(PR_SET_KEEPCAPS, 1));
		OK(setresuid(1000, 1000, 1000));
		OK(set_caps(BIT(CAP_CHOWN), BIT(CAP_CHOWN), 0));
		EQ(has_after_exec(CAP_CHOWN), 0); // others do not keep them
	}
	REAP(m);
}

CASE(ambient_capabilities)
{
	CHILD(k) {
		ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), EPERM); // not inheritable
		struct capset c = caps(0);
		OK(set_caps(c.eff, c.prm, BIT(CAP_CHOWN)));
		OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
		EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 1);
		OK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
		OK(setresuid(1000, 1000, 1000));
		EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 1);
		EQ(has_after_exec(CAP_CHOWN), 1);
		EQ(has_after_exec(CAP_MKNOD), 0);
		OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_CHOWN, 0, 0));
		EQ(has_after_exec(CAP_CHOWN), 0);
		OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
		ERR(prctl(PR_CAP_AMBIENT, 99, 0, 0, 0), EINVAL);
	}
	REAP(k);
}

CASE(securebits)
{
	CHILD(k) {
		EQ(prctl(PR_GET_SECUREBITS), 0);
		OK(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED));
		EQ(prctl(PR_GET_SECUREBITS), SECBIT_NOROOT | SECBIT_NOROOT_LOCKED);
		ERR(prctl(PR_SET_SECUREBITS, 0), EPERM);
		EQ(has_after_exec(CAP_CHOWN), 0); // root gets nothing by exec
	}
	REAP(k);
}

CASE(no_new_privs)
{
	CHILD(k) {
		EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
		OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
		ERR(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
		CHILD(m) {
			EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
		}
		REAP(m);
	}
	REAP(k);
}

CASE(dumpable)
{
	CHILD(k) {
		EQ(prctl(PR_GET_DUMPABLE), 1);
		OK(prctl(PR_SET_DUMPABLE, 0));
		EQ(prctl(PR_GET_DUMPABLE), 0);
		ERR(prctl(PR_SET_DUMPABLE, 2), EINVAL);
		OK(prctl(PR_SET_DUMPABLE, 1));
		OK(setresuid(1000, 1000, 1000)); // a change of the effective id clears it
		EQ(prctl(PR_GET_DUMPABLE), 0);
	}
	REAP(k);
}

CASE(prctl_misc)
{
	int v = -1;
	ERR(prctl(9999), EINVAL);
	EQ(prctl(PR_GET_TIMERSLACK), 50000);
	OK(prctl(PR_SET_TIMERSLACK, 1000));
	EQ(prctl(PR_GET_TIMERSLACK), 1000);
	OK(prctl(PR_SET_TIMERSLACK, 0)); // back to the default
	EQ(prctl(PR_GET_TIMERSLACK), 50000);
	ERR(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
	EQ(prctl(PR_GET_PDEATHSIG, &v), 0);
	EQ(v, 0);
	ERR(prctl(PR_SET_NAME, BAD_PTR), EFAULT);
	EQ(prctl(PR_GET_TSC, &v), 0);
	EQ(v, PR_TSC_ENABLE);
	EQ(prctl(PR_GET_SECCOMP), 0);
}

CASE(kill_permission_by_ids)
{
	CHILD(k) {
		OK(setresuid(1000, 1000, 2000));
		for (;;)
			pause();
	}
	CHILD(m) {
		OK(setresuid(3000, 3000, 3000));
		ERR(kill(k, SIGTERM), EPERM);
	}
	REAP(m);
	CHILD(n) {
		int r = -1;
		OK(setresuid(2000, 3000, 3000)); // the real id is the target's saved id
		for (int i = 0; i < 500 && (r = kill(k, SIGTERM)) < 0; i++)
			msleep(2);
		OK(r);
	}
	REAP(n);
	REAP_SIGNAL(k, SIGTERM);
}

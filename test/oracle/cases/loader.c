// ELF loading: static, static PIE, dynamic, dynamic PIE, the interpreter run by hand,
// address-space randomisation, initial stack. The programs are built from helpers/hello.c
// and lie beside this one.
#include "oracle.h"
#include <sys/auxv.h>
#include <sys/personality.h>

static char *beside(const char *name)
{
	static char path[PATH_MAX + 64];
	snprintf(path, sizeof path, "%.*s/%s", (int)(strrchr(self_path, '/') - self_path), self_path, name);
	return path;
}

static void run(const char *path)
{
	CHILD(k) {
		execl(path, "hello", "x", NULL);
		_exit(99);
	}
	REAP_EXIT(k, 42);
}

CASE(load_static)
{
	run(beside("hello_static"));
}

CASE(load_static_pie)
{
	run(beside("hello_static_pie"));
}

CASE(load_dynamic)
{
	run(beside("hello_dynamic"));
}

CASE(load_dynamic_pie)
{
	run(beside("hello_dynamic_pie"));
}

CASE(load_by_interpreter_command)
{
	CHILD(k) {
		execl("/lib64/ld-linux-x86-64.so.2", "ld.so", beside("hello_dynamic_pie"), NULL);
		_exit(99);
	}
	REAP_EXIT(k, 42);
}

CASE(load_many_times)
{
	for (int i = 0; i < 20; i++)
		run(beside(i & 1 ? "hello_dynamic_pie" : "hello_static"));
}

CASE(load_without_randomisation)
{
	CHILD(k) {
		OK(personality(ADDR_NO_RANDOMIZE));
		execl(beside("hello_dynamic_pie"), "x", NULL);
		_exit(99);
	}
	REAP_EXIT(k, 42);
}

HELPER(stack_address)
{
	int here;
	printf("%lx", (long)&here);
	return 0;
}

static unsigned long stack_of_child(int persona)
{
	int p[2];
	char b[32] = "";
	OK(pipe(p));
	CHILD(k) {
		OK(personality(persona));
		OK(dup2(p[1], 1));
		execl(self_path, "x", "--helper", "stack_address", NULL);
		_exit(99);
	}
	REAP(k);
	OK(read(p[0], b, 31));
	OK(close(p[0]));
	OK(close(p[1]));
	return strtoul(b, NULL, 16);
}

CASE(stack_is_randomised_unless_asked_not_to)
{
	unsigned long a = stack_of_child(0);
	int differs = 0;
	for (int i = 0; i < 8; i++)
		differs |= stack_of_child(0) != a;
	EQ(differs, 1);
	a = stack_of_child(ADDR_NO_RANDOMIZE);
	for (int i = 0; i < 4; i++)
		EQ(stack_of_child(ADDR_NO_RANDOMIZE), a);
}

CASE(initial_stack_layout)
{
	CHECK(getauxval(AT_RANDOM) != 0);
	CHECK(getauxval(AT_PAGESZ) == 4096);
	CHECK(getauxval(AT_CLKTCK) == 100);
	EQ(getauxval(AT_UID), getuid());
	EQ(getauxval(AT_EGID), getegid());
	STREQ((char *)getauxval(AT_PLATFORM), "x86_64");
	CHECK(strstr((char *)getauxval(AT_EXECFN), "loader"));
	CHECK(getauxval(AT_PHNUM) > 3);
	EQ(getauxval(AT_PHENT), 56);
	CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
}

CASE(random_bytes_differ_between_images)
{
	unsigned char mine[16], zero[16] = {0};
	memcpy(mine, (void *)getauxval(AT_RANDOM), 16);
	CHECK(memcmp(mine, zero, 16));
}

// hello: looks at how it was loaded; exits with 42 when everything works.
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static __thread int tls = 17;
static int relocated = 5;
static int *pointer = &relocated; // needs a relocation when position-independent
static int constructed;

__attribute__((constructor)) static void construct(void)
{
	constructed = 1;
}

static void *thread(void *arg)
{
	return (void *)(long)(tls + *(int *)arg);
}

int main(int argc, char **argv)
{
	pthread_t t;
	void *r;
	char b[64];
	if (!constructed || *pointer != 5 || tls != 17)
		return 1;
	tls = 30;
	if (pthread_create(&t, NULL, thread, pointer) || pthread_join(t, &r) || (long)r != 22)
		return 2;
	char *m = malloc(1 << 20);
	if (!m)
		return 3;
	memset(m, 1, 1 << 20);
	snprintf(b, sizeof b, "%.3f %s", 1.5, argc > 1 ? argv[1] : "");
	if (strncmp(b, "1.500", 5))
		return 4;
	if (!getauxval(AT_PHDR) || !getauxval(AT_ENTRY) || getauxval(AT_PAGESZ) != 4096)
		return 5;
	return 42;
}

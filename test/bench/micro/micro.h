// What the families of measurements share. A measurement does something n times; what
// it does before start() and after stop() does not count.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct measurement {
	const char *name;
	void (*run)(long n);
};

extern const struct measurement calls[], files[], memory[], processes[], messages[];

void start(void);
void stop(void);

// Says what has failed, and errno, and ends the program.
_Noreturn void fail(const char *what);

#define CHECK(ok) ((ok) ? (void)0 : fail(#ok))

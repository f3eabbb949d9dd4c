#!/bin/sh
# Interpreters and the compiler: start, and work.
. /bench/macro/lib.sh
timed python_start python3 -c 'import json, asyncio, http.client, sqlite3'
timed python_start_again python3 -c 'import json, asyncio, http.client, sqlite3'
timed python_compute python3 -c 'print(sum(i * i % 7 for i in range(2000000)))'
timed perl_start perl -MPOSIX -e 'print 1'
cat >hello.c <<'END'
#include <stdio.h>
int main(void) { puts("hello"); return 0; }
END
timed gcc_hello gcc -O2 -o hello hello.c
timed hello ./hello

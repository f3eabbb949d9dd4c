#!/bin/sh
# build.sh OUTDIR: compiles every case program, statically linked, and the programs that
# the cases execute (helpers/). Needs gcc and the static C library of Debian 12 or newer.
set -eu
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/cases"
cflags="-std=gnu11 -D_GNU_SOURCE -O1 -s -Wall -Wextra -Wno-return-type -Wno-psabi -Wno-missing-field-initializers -Wno-unused-result -Wno-nonnull -Wno-stringop-overflow -Wno-stringop-overread -pthread"
{
	for f in *.c; do
		echo "$cflags -static -o $out/${f%.c} $f -lrt"
	done
	if [ -e helpers/hello.c ]; then
		echo "$cflags -static -no-pie -o $out/hello_static helpers/hello.c"
		echo "$cflags -static-pie -fPIE -o $out/hello_static_pie helpers/hello.c"
		echo "$cflags -fPIE -pie -o $out/hello_dynamic_pie helpers/hello.c"
		echo "$cflags -fno-pie -no-pie -o $out/hello_dynamic helpers/hello.c"
	fi
} | nice xargs -P "$(nproc)" -L 1 gcc

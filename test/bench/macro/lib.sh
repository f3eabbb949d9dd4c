# Read by the workloads: they work in a directory of their own, and print lines of a
# name, a value, and what it is: ns (lower is better) or /s (higher is better).
set -eu
cd "$(mktemp -d /var/tmp/bench.XXXXXX)"

# timed NAME COMMAND... prints how long a command takes.
timed() {
	name=$1
	shift
	from=$(date +%s%N)
	"$@" >out 2>&1 || {
		cat out >&2
		exit 1
	}
	to=$(date +%s%N)
	echo "$name $((to - from)) ns"
}

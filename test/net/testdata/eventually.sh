# eventually COMMAND... runs a command until it succeeds, at most for half a minute.
eventually() {
	for i in $(seq 300); do
		"$@" && return
		sleep 0.1
	done
	echo "this never came true: $*"
}

#!/bin/bash
# Job control, pipelines, here-documents, traps and process substitution of bash.
cd "$(mktemp -d /tmp/bash.XXXXXX)" || exit 1

echo "== pipelines"
seq 1 5000 | grep 7 | sort -rn | head -n 3
set -o pipefail
false | true
echo "pipefail: $?"
true | (exit 3) | true
echo "statuses: ${PIPESTATUS[*]}"
set +o pipefail
yes | head -n 100000 | tail -n 1
for i in {1..30}; do echo "$i"; done | while read -r n; do ((n % 10)) || echo "ten: $n"; done
printf '%s\n' {a..z} | (exec tr -d '\n'; echo) && echo

echo "== here-documents"
cat <<A; cat <<'B'
expanded $((40 + 2)) $(echo from a command)
A
raw $((40 + 2)) $HOME
B
cat <<<"here string ${BASH##*/}"
large=$(printf 'x%.0s' {1..200000})
cat <<END | wc -c
$large
END

echo "== process substitution"
diff <(printf '%s\n' a b c) <(printf '%s\n' a B c)
echo "diff: $?"
paste <(seq 1 3) <(seq 4 6) <(seq 7 9)
tee >(wc -l >lines) >(md5sum >sum) < <(seq 1 1000) | tail -n 1
until [ -s lines ] && [ -s sum ]; do sleep 0.01; done
cat lines sum

echo "== traps"
trap 'echo "got USR1"' USR1
trap 'echo "got USR2"' USR2
kill -USR1 $$
kill -USR2 $$
trap 'echo "ERR line in ${FUNCNAME[0]:-main}"' ERR
false
trap - ERR
(trap 'echo "exit trap, status $?"' EXIT; exit 9)
echo "subshell: $?"
(trap '' TERM; kill -TERM "$BASHPID"; echo "TERM ignored")
(exec 2>/dev/null; bash -c 'kill -SEGV $$'; exit $?)
echo "killed by SEGV: $?"
bash -c 'trap "echo child int; exit 5" INT; kill -INT $$; echo not here'
echo "INT handler: $?"
trap : USR1
(while sleep 0.1; do kill -USR1 $$; done) & killer=$!
sleep 1000 & sleeper=$!
wait $sleeper
echo "wait interrupted: $(($? > 128))"
{ kill $killer $sleeper; until wait; do :; done; } 2>/dev/null

echo "== job control"
set -m
sleep 100 &
job=$!
jobs -r | sed 's/^[^ ]* *//'
kill -STOP %%
until [ "$(ps -o stat= -p $job | cut -c1)" = T ]; do sleep 0.01; done
jobs -s | sed 's/^[^ ]* *//'
kill -CONT %%
until [ "$(ps -o stat= -p $job | cut -c1)" = S ]; do sleep 0.01; done
exec 6>&2 2>/dev/null
kill %%
wait $job
echo "terminated: $?"
exec 2>&6 6>&-
[ "$(ps -o pgid= -p $$ | tr -d ' ')" = "$(ps -o pgid= -p $BASHPID | tr -d ' ')" ] && echo "one group"
(sleep 50 | sleep 51 | sleep 52) &
group=$(ps -o pgid= -p $! | tr -d ' ')
[ "$group" = "$!" ] && echo "a job is a process group"
until [ "$(ps -eo pgid=,comm= | grep -c "^ *$group sleep")" = 3 ]; do sleep 0.01; done
exec 6>&2 2>/dev/null
kill -- -"$group"
wait
exec 2>&6 6>&-
while ps -eo pgid=,stat= | grep "^ *$group " | grep -qv Z; do sleep 0.01; done
echo "its processes are gone"
set +m

echo "== coprocess and descriptors"
coproc BC { while read -r a b; do echo $((a * b)); done; }
echo "6 7" >&"${BC[1]}"
read -r answer <&"${BC[0]}"
echo "coproc: $answer"
eval "exec ${BC[1]}>&-"
wait "$BC_PID" 2>/dev/null
exec 5<>file
echo "through 5" >&5
exec 5>&-
cat file
exec {fd}<file
read -r -u "$fd" line
echo "$line"
exec {fd}<&-
mapfile -t lines < <(seq 1 20000)
echo "mapfile: ${#lines[@]} ${lines[19999]}"
declare -A map
for w in the cat and the dog and the bird; do ((map[$w]++)); done
for w in "${!map[@]}"; do echo "$w ${map[$w]}"; done | sort
read -r -t 0.1 -d '' nothing < <(sleep 1); echo "read timeout: $(($? > 128))"

echo "== limits and environment"
(ulimit -n 64; ulimit -n)
(ulimit -f 8; trap '' XFSZ; dd if=/dev/zero of=limited bs=1024 count=100 2>/dev/null; stat -c %s limited)
(umask 027; touch masked; stat -c %a masked)
A=1 B='two words' env | grep -E '^[AB]=' | sort
bash -c 'echo "$0 $# $*"' name one 'two three'
cd / && pwd && cd - >/dev/null
shopt -s globstar nullglob
mkdir -p x/y/z; touch x/1 x/y/2 x/y/z/3
echo x/**/*
exec 2>&1
nonexistent-command
echo "not found: $?"
./file
echo "not executable: $?"
for i in {1..100}; do /bin/true || echo bad; done
echo end

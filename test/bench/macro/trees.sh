#!/bin/sh
# Trees of files.
. /bench/macro/lib.sh
timed find_usr find /usr -xdev -type f -newer /etc/hostname
timed du_usr_lib du -s /usr/lib
timed tar_python sh -c 'tar -c /usr/lib/python3.11 | wc -c'
timed copy_python cp -r /usr/lib/python3.11 copy
timed grep_python grep -rl 'import sys' copy
timed remove_python rm -r copy
mkdir repository
cp -rL /usr/share/perl/5.36.0 repository/src
cd repository
git init -q .
timed git_add git add -A
timed git_commit git -c user.email=a@example.com -c user.name=a commit -q -m x
timed git_status git status --short

#!/bin/bash
# git init, add and commit of thousands of files, and what is done with a repository after.
set -euo pipefail
export HOME=$(mktemp -d /var/tmp/git.XXXXXX)
export GIT_AUTHOR_DATE='2026-01-02T03:04:05Z' GIT_COMMITTER_DATE='2026-01-02T03:04:05Z'
git config --global user.name Tester
git config --global user.email tester@example.com
git config --global init.defaultBranch main
git config --global gc.auto 0
mkdir "$HOME/repo" && cd "$HOME/repo"
git init -q
for d in {1..60}; do
	mkdir -p src/m$d
	for f in {1..50}; do echo "module $d file $f $((d * f))" >src/m$d/f$f.txt; done
done
git add -A
git status --short | wc -l
git commit -q -m 'First'
git rev-parse HEAD
git ls-files | wc -l
for d in {1..60..7}; do echo changed >>src/m$d/f1.txt; done
rm -r src/m2
git mv src/m3/f1.txt src/moved.txt
git status --short | sort | md5sum
git diff --stat | tail -n 1
git commit -q -a -m 'Second'
git rev-parse HEAD
git show --stat --format=%s HEAD | tail -n 1
git checkout -q -b side HEAD~1
echo side >side.txt && git add side.txt && git commit -q -m 'Side'
git checkout -q main
git merge -q -m 'Merge' side
git log --oneline --graph --format=%s
git rev-parse HEAD
git grep -l changed | wc -l
git fsck --full 2>&1 | tail -n 1
git gc -q
git count-objects -v | grep -E 'in-pack|packs|count'
git clone -q "$HOME/repo" "$HOME/clone"
cd "$HOME/clone" && git ls-files | wc -l
git checkout -q HEAD~1 && git checkout -q main && git status --short | wc -l
echo x >>src/m1/f2.txt && git stash -q && git status --short | wc -l && git stash pop -q && git status --short
git reset -q --hard && git archive HEAD | sha256sum
git bundle create -q ../b.bundle main && git bundle verify -q ../b.bundle 2>/dev/null && echo "bundle is good"
rm -rf "$HOME"

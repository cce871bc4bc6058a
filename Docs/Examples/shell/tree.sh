#!/bin/sh
# Tests in a shell script, each on a fork of one tree. Takes the command `mayfly` (or what $MAYFLY
# names), and root or `unshare --user --map-root-user --mount sh tree.sh`.
set -eu

mayfly=${MAYFLY:-mayfly}
work=$(mktemp -d)
mkdir "$work/origin" "$work/test"
# Whatever ends the script, nothing is left.
trap 'cd /; for d in test origin; do "$mayfly" umount "$work/$d" --lazy 2> /dev/null || :; done
    rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' HUP INT TERM

# What every test starts with: built once, or `mayfly mount DIR --from IMAGE`.
"$mayfly" mount --quiet "$work/origin"
mkdir "$work/origin/etc"
echo 'verbose = no' > "$work/origin/etc/config"

# Runs a function in the root of a fork.
try() {
    "$mayfly" fork "$work/origin" "$work/test" > /dev/null
    if (set -eu; cd "$work/test"; "$1"); then echo "ok $1"; else echo "not ok $1"; failed=1; fi
    "$mayfly" umount "$work/test" --lazy
}

changes_stay_in_the_test() {
    rm -r etc
}

begins_with_the_tree() {
    [ "$(cat etc/config)" = 'verbose = no' ]
}

goes_back() {
    echo 1 > number
    "$mayfly" snapshot . one > /dev/null
    echo 2 > number
    "$mayfly" rollback . one > /dev/null
    [ "$(cat number)" = 1 ]
    "$mayfly" rollback . start > /dev/null
    [ ! -e number ]
}

failed=0
try changes_stay_in_the_test
try begins_with_the_tree
try goes_back
exit "$failed"

#!/usr/bin/env bats
# scripts/course watch.

load commands

setup() {
    begin
    # A program in the background ignores Ctrl-C from its start, and only another language than the shell's undoes that.
    interrupt=TERM ended_by_it=143 interruptible=""
    if command -v python3 >/dev/null; then
        interrupt=INT ended_by_it=0
        cat >"$work/interruptible" <<'PYTHON'
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
PYTHON
        interruptible="python3 $work/interruptible"
    fi
    watching=""
}

teardown() {
    if [ -n "$watching" ]; then end_tree "$watching"; fi
}

# watch NN: in the background.
watch() {
    asked="scripts/course watch $1"
    : >"$work/out"
    : >"$work/err"
    # shellcheck disable=SC2086
    WATCH_INTERVAL=${interval:-0.1} $interruptible scripts/course watch "$1" >>"$work/out" 2>&1 </dev/null 3>&- &
    watching=$!
}

# eventually COUNT WORDS: waits until these words stand in so many lines.
eventually() {
    local tries=0
    while [ "$(grep -cF -e "$2" "$work/out")" -lt "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -le 400 ] || failed "\"$2\" did not come $1 times" || return 1
        sleep 0.05
    done
}

# is_ended: Ctrl-C ends it, as the student's wish and not as a failure.
is_ended() {
    local ended=0
    kill "-$interrupt" "$watching"
    wait "$watching" || ended=$?
    watching=""
    [ "$ended" = "$ended_by_it" ] || failed "expected exit status $ended_by_it after Ctrl-C, got $ended"
}

waits() { [ "$(grep -c 'Waiting for you' "$work/out")" = "$1" ] || failed "expected $1 gradings"; }

@test "watch: grades at once and with each save, until Ctrl-C" {
    solve 01 "// fails: testBinaryComesBackAsItIs"
    watch 01
    eventually 1 "Waiting for you to save"
    solve 01
    eventually 1 "All $(checks_in 01) checks passed."
    eventually 2 "Waiting for you to save"
    # A save without a change is a save too.
    touch -t 203001010000 "$one/BasicEcho.swift"
    eventually 3 "Waiting for you to save"
    is_ended
    waits 3
    is_plain
}

@test "watch: without a save nothing is graded again" {
    solve 01
    watch 01
    eventually 1 "Waiting for you to save"
    sleep 1
    is_ended
    waits 1
}

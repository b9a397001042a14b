# Parts that are checked one after the other, each with a line of its own; to be sourced after common.sh.
#
# Set by the caller: work (temporary).

passed=0 failed=0 skipped=0

# skip NOTICE: ends a part that cannot be checked here.
skip() {
    echo "$1" >"$work/summary"
    exit 77
}

# part TITLE COMMAND…: runs one part by itself and prints its line. The command's output is shown when it fails;
# $work/summary, if it writes that, stands in for the title.
part() {
    local title=$1 status=0 TIMEFORMAT=%1R child
    shift
    rm -f "$work/summary"
    # In the background, so that Ctrl-C reaches the trap at once.
    (
        trap 'status=$?; set +e; end_children; exit $status' EXIT
        set -e
        "$@"
    ) >"$work/output" 2>&1 &
    child=$!
    { time wait "$child" || status=$?; } 2>"$work/time"
    case $status in
        0)
            if [ -f "$work/summary" ]; then title=$(cat "$work/summary"); fi
            passed=$((passed + 1))
            printf '✔ %6s s  %s\n' "$(tail -n 1 "$work/time")" "$title" ;;
        77)
            skipped=$((skipped + 1))
            printf '– %6s s  %s: skipped. %s\n' "$(tail -n 1 "$work/time")" "$title" "$(cat "$work/summary")" ;;
        *)
            if [ -f "$work/summary" ]; then title=$(cat "$work/summary"); fi
            failed=$((failed + 1))
            printf '✘ %6s s  %s\n' "$(tail -n 1 "$work/time")" "$title"
            head -n 60 "$work/output" | sed 's/^/      /' ;;
    esac
}

conclude() {
    local line="$passed passed, $failed failed"
    if [ "$skipped" != 0 ]; then line="$line, $skipped skipped"; fi
    echo "$line"
    [ "$failed" = 0 ]
    exit
}

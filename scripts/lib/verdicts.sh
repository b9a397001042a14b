# What came of grading a level, as plain files, JSON and JUnit XML; to be sourced after common.sh.
#
# A folder of plain files stands for one graded level:
#   level      lines "name TAB value": level, title, outcome, first (the check to be shown), grader and engine
#              (digests of what has graded)
#   checks     a line for each check: name, rule, verdict, seconds, points, between tabs
#   texts/X    the whole text of the failed check X
#   message    what is to be said besides, such as the compiler's errors; may be empty
# The outcome is passed, failed, not begun, does not compile, or not graded.
#
# Set by the caller: work (temporary), with the results and texts that results.awk makes.

# verdict_of CHECK: its verdict in $work/results, or NOT RUN.
verdict_of() { awk -F '\t' -v name="$1" '$1 == name { v = $2 } END { print (v ? v : "NOT RUN") }' "$work/results"; }

# digest_of_files FILE-OR-FOLDER…: one digest for the names and contents of all of them, from the package's root.
digest_of_files() {
    local sum="shasum -a 256"
    if command -v sha256sum >/dev/null; then sum=sha256sum; fi
    # shellcheck disable=SC2086
    (cd "$root" && find "$@" -type f ! -name '.*' -exec $sum {} + | LC_ALL=C sort | $sum | cut -d ' ' -f 1)
}

# grader_digest NN: changes with any file of the grader of this level.
grader_digest() {
    digest_of_files "Tests/Graders/Level$1Tests.swift" Tests/Graders/Grade.swift Tests/Graders/Hints.swift Tests/GraderKit
}

# Changes with any file that the level is built with.
engine_digest() { digest_of_files Package.swift Engine; }

# points_of NN: name and points of each check, between tabs: 1, unless "/// Points: 2" stands above it.
points_of() {
    awk '
        /^ *\/\/\/ Points: *[0-9]+ *$/ { points = $NF; next }
        /^ *func test[A-Za-z0-9_]*\(\)/ {
            name = $0
            sub(/^ *func /, "", name)
            sub(/\(.*/, "", name)
            print name "\t" (points == "" ? 1 : points + 0)
        }
        !/^ *\/\/\// { points = "" }
    ' "$root/Tests/Graders/Level$1Tests.swift"
}

# Valid UTF-8, without NUL: what a program or a compiler prints may hold any bytes.
as_text() { tr -d '\000' | iconv -c -f UTF-8 -t UTF-8 || true; }

engine_known=""    # within one run the engine stays as it is

# write_verdicts DIR NN OUTCOME: the files of a level, from $work/results and $work/texts, and the message from the
# standard input.
write_verdicts() {
    local dir=$1 level=$2 outcome=$3 check verdict first tab
    tab=$(printf '\t')
    mkdir -p "$dir/texts"
    if [ "$outcome" = "not begun" ]; then : >"$dir/message"; else as_text >"$dir/message"; fi
    {
        sed "s/^/result$tab/" "$work/results"
        points_of "$level" | sed "s/^/points$tab/"
        rules_of "$level" | sed "s/^/rule$tab/"
    } | awk -F '\t' -v OFS='\t' -v outcome="$outcome" '
        $1 == "result" { verdict[$2] = $3; seconds[$2] = $4 }
        $1 == "points" { points[$2] = $3 }
        $1 == "rule" {
            found = ($2 in verdict) ? verdict[$2] : (outcome == "not begun" ? "NOT STARTED" : "NOT RUN")
            print $2, $3, found, seconds[$2] + 0, points[$2]
        }' >"$dir/checks"
    while IFS="$tab" read -r check _ verdict _; do
        if [ "$verdict" != PASSED ] && [ -s "$work/texts/$check" ]; then
            as_text <"$work/texts/$check" >"$dir/texts/$check"
        fi
    done <"$dir/checks"
    if [ "$outcome" = failed ] && ! awk -F '\t' '$3 != "NOT STARTED"' "$dir/checks" | grep -q .; then
        outcome="not begun"
    fi
    # A crash comes first: what failed after it may have failed because of it.
    first=$(awk -F '\t' '
        $3 == "PASSED" { next }
        !first { first = $1 }
        $3 == "CRASHED" && !crashed { crashed = $1 }
        END { print (crashed ? crashed : first) }' "$dir/checks")
    {
        printf 'level\t%s\n' "$level"
        printf 'title\t%s\n' "$(title_of "$level")"
        printf 'outcome\t%s\n' "$outcome"
        printf 'first\t%s\n' "$first"
        printf 'grader\t%s\n' "$(grader_digest "$level")"
        printf 'engine\t%s\n' "${engine_known:=$(engine_digest)}"
    } >"$dir/level"
}

# verdicts_as json|junit DIR…
verdicts_as() {
    local form=$1
    shift
    printf '%s\n' "$@" | LC_ALL=C awk -v form="$form" -f "$root/scripts/lib/verdicts.awk"
}

# value_of NAME DIR: such as the outcome.
value_of() { sed -n "s/^$1$(printf '\t')//p" "$2/level"; }

# line_of DIR: one line that sums up a level.
line_of() {
    local level title outcome passed total first
    level=$(value_of level "$1") title=$(value_of title "$1") outcome=$(value_of outcome "$1")
    total=$(wc -l <"$1/checks" | tr -d ' ')
    passed=$(awk -F '\t' '$3 == "PASSED"' "$1/checks" | wc -l | tr -d ' ')
    first=$(awk -F '\t' -v name="$(value_of first "$1")" '$1 == name { print $3 ": " $2 }' "$1/checks")
    case $outcome in
        passed) echo "✔  $level  $title: $passed of $total checks" ;;
        failed) echo "✘  $level  $title: $passed of $total checks. $first" ;;
        "not begun") echo "–  $level  $title: not begun" ;;
        *) echo "✘  $level  $title: $outcome. $(sed -n '/[^ ]/{s/^ *//;p;q;}' "$1/message")" ;;
    esac
}

# total_of DIR…: one line that sums up all.
total_of() {
    local dir levels=0
    for dir in "$@"; do
        if [ "$(value_of outcome "$dir")" = passed ]; then levels=$((levels + 1)); fi
    done
    for dir in "$@"; do cat "$dir/checks"; done | awk -F '\t' -v levels="$levels" -v all="$#" '
        $3 == "PASSED" { passed++; points += $5 }
        { of += $5 }
        END {
            printf "%d of %d levels passed, %d of %d checks", levels, all, passed, NR
            print (of == NR ? "." : ", " points + 0 " of " of " points.")
        }'
}

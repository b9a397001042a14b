# What is known of a student's levels; to be sourced after common.sh and stubs.sh.
#
# $records/NN holds what the last grading of level NN found: in its first line the digest of what was graded, then a
# line for each check, with its verdict after a tab. $records/NN.hints holds the numbers of the hints that were given.
#
# Set by the caller: scratch (where `swift build` builds), work (temporary).

records=$scratch/course

# listing FOLDER-OR-FILE…: checksum and name of each file. Hidden files are an editor's or the system's, and no
# verdict depends on a manual.
listing() { find "$@" -type f ! -name '.*' ! -name '*.md' -exec cksum {} + | LC_ALL=C sort; }

# What all verdicts depend on besides the level.
digest_of_course() {
    (cd "$root" && listing Engine Tests/GraderKit Tests/Graders/Grade.swift Tests/Graders/Hints.swift) |
        cksum | tr ' ' -
}

# digest_of NN: changes with any file of the student's level, of its grader and of the engine.
digest_of() {
    echo "${course_digest:-$(digest_of_course)}-$(
        cd "$root" && listing "$(exercise_folder "$1")" "Tests/Graders/Level$1Tests.swift" 2>/dev/null |
            cksum | tr ' ' -
    )"
}

# record NN DIGEST: keeps the lines of the standard input, unless what was graded has changed since.
record() {
    if [ "$(digest_of "$1")" != "$2" ]; then cat >/dev/null; return; fi
    mkdir -p "$records"
    { echo "$2"; cat; } >"$records/$1.new"
    mv "$records/$1.new" "$records/$1"
}

recorded() { if [ -f "$records/$1" ]; then sed 1d "$records/$1"; fi; }

# look_at NN: sets
#   state    missing, untouched, ungraded, broken (does not compile), failing, or passed
#   passed   the number of checks passed when the level was last graded
#   total    the number of its checks
#   changed  yes if the level was graded, and has changed since
look_at() {
    local known
    total=$(checks_of "$1" | wc -l | tr -d ' ') passed=0 changed=""
    if [ ! -d "$root/$(exercise_folder "$1")" ]; then state=missing; return; fi
    if is_untouched "$1" "$root/$(exercise_folder "$1")"; then state=untouched; return; fi
    state=ungraded
    if [ ! -f "$records/$1" ]; then return; fi
    passed=$(recorded "$1" | awk -F '\t' '$2 == "PASSED" { n++ } END { print n + 0 }')
    known=$(head -n 1 "$records/$1")
    if [ "$known" != "$(digest_of "$1")" ]; then changed=yes; return; fi
    if recorded "$1" | grep -q '^build'; then state=broken
    elif [ "$passed" -ge "$total" ]; then state=passed
    else state=failing
    fi
}

# failed_check NN: the check that scripts/grade showed when the level was last graded, and its verdict, with a tab
# between. A crash comes first: what failed after it may have failed because of it.
failed_check() {
    recorded "$1" | awk -F '\t' '
        $2 == "PASSED" { next }
        !first { first = $0 }
        $2 == "CRASHED" && !crashed { crashed = $0 }
        END { if (crashed || first) print (crashed ? crashed : first) }'
}

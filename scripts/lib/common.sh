# Shared by the scripts of this folder's parent; to be sourced. Needs nothing but bash 3.2 and a POSIX system.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# What a caller's shell may have set must not decide what is checked.
unset LEVEL COURSE

# "parent child" for every process there is. Minimal containers have no ps.
process_table() {
    if command -v ps >/dev/null; then
        ps -A -o ppid= -o pid=
    else
        { cat /proc/[0-9]*/stat 2>/dev/null || true; } | sed 's/^\([0-9]*\) (.*) . \([0-9]*\) .*/\2 \1/'
    fi
}

# The process and everything it started, directly or not. swift test puts the tests in a process group of their own,
# so that ending a group would miss them.
process_tree() {
    process_table | awk -v top="$1" '
        { parent[$2] = $1 }
        END {
            print top
            found[top] = 1
            do {
                more = 0
                for (pid in parent)
                    if (!(pid in found) && (parent[pid] in found)) { found[pid] = 1; print pid; more = 1 }
            } while (more)
        }'
}

# Asks a process and its descendants to end, and makes them end when they have not after two seconds.
end_tree() {
    local tree pid tries=0 alive
    tree=$(process_tree "$1")
    for pid in $tree; do kill -TERM "$pid" 2>/dev/null || true; done
    while [ "$tries" -lt 40 ]; do
        alive=""
        for pid in $tree; do if kill -0 "$pid" 2>/dev/null; then alive="$alive $pid"; fi; done
        [ -n "$alive" ] || break
        sleep 0.05
        tries=$((tries + 1))
    done
    for pid in $tree; do kill -KILL "$pid" 2>/dev/null || true; done
    wait "$1" 2>/dev/null || true    # takes in the shell's own "Terminated"
}

# Ends all that this shell, or this subshell, has started and that still runs.
end_children() {
    local child me
    me=$(exec sh -c 'echo $PPID')    # bash 3.2 has no BASHPID
    for child in $(process_table | awk -v me="$me" '$1 == me { print $2 }'); do end_tree "$child"; done
}

# To be trapped on EXIT: ends what runs, removes $work, and keeps the exit status.
clean_up() {
    local status=$?
    set +e
    end_children
    rm -rf "$work"
    exit "$status"
}

# within SECONDS COMMAND…: the command's exit status, or 124 after ending it when it takes longer.
# macOS has no `timeout`.
within() {
    local limit=$1 start=$SECONDS pid
    shift
    "$@" &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if [ $((SECONDS - start)) -ge "$limit" ]; then
            end_tree "$pid"
            return 124
        fi
        sleep 0.05
    done
    wait "$pid"
}

# The usage text of a script: its head comment.
usage_of() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "$1"; }

# answer_help SCRIPT ARGUMENT…: to --help, its usage, and that is all.
answer_help() {
    case ${2:-} in --help | -h) usage_of "$root/$1"; exit 0 ;; esac
}

# "01 02 …": the levels of the package, as its manifest lists them.
all_levels() {
    sed -n '/^let allLevels = \[/,/^\]/s/.*"\([0-9][0-9]*\)-.*".*/\1/p' "$root/Package.swift"
}

# folder_of Solutions 01 -> Solutions/Solution01-BasicEcho
folder_of() {
    local folder
    for folder in "$root/$1/"*"$2"-*; do
        if [ -d "$folder" ]; then
            echo "$1/$(basename "$folder")"
            return
        fi
    done
    return 1
}

# "Basic echo" for level 01, from the name of its folder, as the program itself titles it.
title_of() {
    local folder given
    folder=$(folder_of Solutions "$1")
    given=$(sed -n 's/.*static var title: String { "\(.*\)" }.*/\1/p' "$root/$folder"/*.swift | head -n 1)
    if [ -n "$given" ]; then echo "$given"; return; fi
    echo "${folder#*-}" | awk '{
        title = substr($0, 1, 1)
        for (i = 2; i <= length($0); i++) {
            c = substr($0, i, 1)
            starts = c ~ /[A-Z]/ && substr($0, i - 1, 1) ~ /[a-z]/ || substr($0, i, 2) ~ /^[A-Z][a-z]/
            # "JSONProtocol" is "JSON protocol": a row of capitals stays.
            title = title (starts ? " " : "") (substr($0, i, 2) ~ /^[A-Z][a-z]/ ? tolower(c) : c)
        }
        print title
    }'
}

# The checks of a level, in the order of its grader's source.
checks_of() {
    sed -n 's/^ *func \(test[A-Za-z0-9_]*\)().*/\1/p' "$root/Tests/Graders/Level$1Tests.swift"
}

# rules_of NN: name and rule of each check of a level, between tabs, from the source of its grader: the first text
# that the check hands to a function, or `let rule`.
rules_of() {
    awk '
        function told() {
            if (name == "") return
            rule = name
            if (match(text, /(let rule = |try [a-z][A-Za-z]*\([ ]*([A-Za-z]+\.self,[ ]*)?)"([^"\\]|\\.)*"/)) {
                rule = substr(text, RSTART, RLENGTH)
                sub(/^[^"]*"/, "", rule)
                sub(/"$/, "", rule)
                gsub(/\\"/, "\"", rule)
            }
            print name "\t" rule
            name = ""
        }
        /^ *func test[A-Za-z0-9_]*\(\)/ {
            told()
            name = $0
            sub(/^ *func /, "", name)
            sub(/\(.*/, "", name)
            text = ""
            next
        }
        { line = $0; sub(/^ +/, "", line); text = text " " line }
        END { told() }
    ' "$root/Tests/Graders/Level$1Tests.swift"
}

# The command of a Chromium, or nothing and status 1.
find_chromium() {
    local name
    for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
        "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
        if [ -n "$name" ] && command -v "$name"; then return; fi
    done
    return 1
}

# What is missing to look at a page in Chromium, and where to get it; nothing if all is there.
missing_for_pages() {
    if ! find_chromium >/dev/null; then
        echo "Chromium is missing. Debian: apt install chromium. macOS: brew install --cask chromium."
    elif ! command -v python3 >/dev/null; then
        echo "Python is missing. Debian: apt install python3. macOS: brew install python."
    elif ! python3 -c 'import websockets' 2>/dev/null; then
        echo "Python's websockets is missing. Debian: apt install python3-websockets." \
            "macOS: brew install python, then python3 -m pip install websockets."
    fi
}

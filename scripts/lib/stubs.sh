# Cuts exercises from solutions; to be sourced after common.sh.

# The exercise that a solution's file makes.
stub() {
    awk '
        /^[ \t]*\/\/ solution$/ { if (inside) exit 3; inside = 1; next }
        /^[ \t]*\/\/ end$/      { if (!inside) exit 3; inside = 0; next }
        inside && /^[ \t]*\/\/ stub:/ { sub(/\/\/ stub: ?/, ""); print; next }
        !inside { print }
        END { if (inside) exit 3 }
    ' "$1" || { echo "$1: the markers // solution and // end do not pair" >&2; return 1; }
}

# A solution's file as a student would have written it: without the markers.
answer() { awk '!/^[ \t]*\/\/ (solution$|end$|stub:)/' "$1"; }

# exercise_folder 01 -> Levels/Level01-BasicEcho, whether it is there or not.
exercise_folder() {
    local solution
    solution=$(folder_of Solutions "$1")
    echo "Levels/Level${solution#Solutions/Solution}"
}

# write_level stub|answer NN DIR: writes all files of a level into a folder.
write_level() {
    local file
    mkdir -p "$3"
    for file in "$root/$(folder_of Solutions "$2")"/*.swift; do
        "$1" "$file" >"$3/$(basename "$file")" || return 1
    done
}

# is_untouched NN FOLDER: the folder holds the exercise as it is handed out. What an editor or the system keeps there,
# and a manual, do not count. Set by the caller: work (temporary).
is_untouched() {
    [ -d "$2" ] || return 1
    if [ ! -d "$work/stub-$1" ]; then write_level stub "$1" "$work/stub-$1"; fi
    diff -r -x '.*' -x '*.md' "$work/stub-$1" "$2" >/dev/null
}

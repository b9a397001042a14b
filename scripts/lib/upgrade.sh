# A newer version of the course for a clone in which levels are half done; to be sourced after common.sh, in the
# package's root.
#
# A level whose folder a student has changed, in whatever way, stays as it is, all of it: half of an old exercise and
# half of a new one would be neither. All other files become those of the newer version.

# git_as COMMAND…: git, in the name of whoever this is. Without a name there would be no commit.
git_as() {
    if git var GIT_COMMITTER_IDENT >/dev/null 2>&1; then
        git "$@"
    else
        git -c user.name=Student -c user.email=student@localhost "$@"
    fi
}

# upgrade [REPOSITORY [BRANCH]]
upgrade() {
    local remote=${1:-} branch=${2:-HEAD} new base before folder kept="" levels changed level shallow=""
    [ $# -le 2 ] || refuse "upgrade takes a repository and a branch at most. See: scripts/course --help"
    command -v git >/dev/null || refuse "The command git is not found."
    if [ "$(git rev-parse --show-toplevel 2>/dev/null)" != "$(pwd -P)" ]; then
        refuse "This folder is not a clone of the course, so git cannot upgrade it." \
            "Clone the course anew, and copy the folders of your levels into its Levels/."
    fi
    if git rev-parse -q --verify MERGE_HEAD >/dev/null; then
        refuse "A merge is under way. Finish it with git commit, or give it up with git merge --abort."
    fi
    if [ -z "$remote" ]; then
        # Whoever works in a fork calls the course upstream.
        remote=$(git remote | grep -x upstream || git remote | grep -x origin || true)
        [ -n "$remote" ] || refuse "This clone does not know where it came from." \
            "Say where the course is: scripts/course upgrade https://…"
    fi
    changed=$(git status --porcelain --untracked-files=no -- . ':(exclude)Levels')
    if [ -n "$changed" ]; then
        refuse "You have changed files outside Levels/:" "$changed" \
            "Commit them, or undo the changes with git checkout HEAD -- FILE. Then upgrade again."
    fi

    # A shallow clone does not know what the two versions have in common.
    if [ "$(git rev-parse --is-shallow-repository)" = true ]; then shallow=--unshallow; fi
    # shellcheck disable=SC2086
    git fetch --quiet $shallow "$remote" "$branch" 2>"$work/git" ||
        refuse "The course could not be fetched from $remote:" "$(cat "$work/git")"
    new=$(git rev-parse FETCH_HEAD)
    if git merge-base --is-ancestor "$new" HEAD; then
        echo "You have the newest version of the course already."
        return
    fi
    base=$(git merge-base HEAD "$new") || refuse "What is at $remote has no history in common with this clone."

    git add -A Levels
    if ! git diff --cached --quiet; then
        git_as commit --quiet --no-verify -m "My work before an upgrade of the course"
    fi
    before=$(git rev-parse --short HEAD)
    levels=$(all_levels)
    for folder in $(git ls-tree --name-only HEAD Levels/; git ls-tree --name-only "$base" Levels/); do
        if ! git diff --quiet "$base" HEAD -- "$folder"; then kept="$kept $folder"; fi
    done
    kept=$(echo "$kept" | tr ' ' '\n' | sort -u)
    merge_keeping "$new" "$kept" || exit 2

    echo "The course is upgraded."
    for level in $(all_levels); do
        if ! echo "$levels" | grep -qx "$level"; then echo "New: level $level – $(title_of "$level")."; fi
    done
    for folder in $kept; do
        if git diff --quiet "$base" "$new" -- "$folder"; then continue; fi
        echo "The exercise in $folder has changed. Yours is kept as it is. What has changed:"
        echo "  git diff $(git rev-parse --short "$base") $(git rev-parse --short "$new") -- $folder"
    done
    echo "To grade your levels again: scripts/course --grade"
    echo "To go back to where you were: git reset --hard $before"
}

# merge_keeping COMMIT FOLDER…: merges, but for these folders; all or nothing.
merge_keeping() {
    local new=$1 folder conflicts
    shift
    if git merge-base --is-ancestor HEAD "$new"; then
        git merge --quiet --ff-only "$new" >"$work/git" 2>&1 && return
    else
        # Renames are not looked for: they could carry a student's work into a folder of another name.
        git_as merge --quiet --no-commit --no-ff -X no-renames "$new" >"$work/git" 2>&1 || true
    fi
    if ! git rev-parse -q --verify MERGE_HEAD >/dev/null; then
        echo "git could not merge the newer version. Nothing has been changed:" >&2
        cat "$work/git" >&2
        return 1
    fi
    for folder in $*; do
        git rm -rfq --ignore-unmatch -- "$folder"
        if [ -n "$(git ls-tree HEAD "$folder")" ]; then git checkout -q HEAD -- "$folder"; fi
        if ! git diff --quiet HEAD -- "$folder"; then
            git merge --abort
            echo "$folder could not be kept as it is. Nothing has been upgraded." >&2
            return 1
        fi
    done
    conflicts=$(git diff --name-only --diff-filter=U)
    if [ -n "$conflicts" ]; then
        git merge --abort
        echo "These files outside Levels/ have been changed by you and by the course:" >&2
        echo "$conflicts" >&2
        echo "Nothing has been upgraded. Undo your changes to them, or merge them by hand: git merge $new" >&2
        return 1
    fi
    git_as commit --quiet --no-verify -m "Upgrade of the course"
}

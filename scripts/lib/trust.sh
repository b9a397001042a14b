# The trust report: what was seen of graders that are graded themselves; to be sourced after levels.sh and pages.sh.
#
# Set by the caller: notes (the folder that levels.sh has written to).

# trust_report: the page.
trust_report() {
    local level checks commit
    commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo "no commit")
    begin_page "Why you can trust these graders"
    cat <<HTML
<p>Each grader has been graded: the reference solution and answers written differently have to pass every check, and
every small mistake below has to be caught by the check that is named for it, with the verdict that is named. A check
that catches nothing is an error. This page was made by <code>scripts/check --report</code> while it ran.</p>
<p>$(date '+%Y-%m-%d'), $(escaped "$commit"), $(uname -s) $(uname -m), $(swift --version 2>/dev/null |
        sed -n 's/.*\(Swift version [0-9.]*\).*/\1/p' | head -n 1).
$(if [ -f "$notes/flakes" ]; then escape <"$notes/flakes"; else echo "Flakes were not looked for in this run."; fi)</p>
<table>
<tr><th>Level</th><th>Checks</th><th>Mistakes caught</th><th>Other answers accepted</th><th>Grader</th></tr>
HTML
    for level in "$@"; do
        [ -f "$notes/$level" ] || continue
        checks=$(checks_of "$level" | wc -l | tr -d ' ')
        printf '<tr><th><a href="#level-%s">%s %s</a></th><td class="number">%s</td>' "$level" "$level" \
            "$(title_of "$level" | escape)" "$checks"
        awk -F '\t' '
            $1 == "mutant" { mutants++; if ($3 == "caught") caught++ }
            $1 == "alternate" { alternates++; if ($3 == "accepted") accepted++ }
            $1 == "grader" { seconds = $2 }
            END {
                cell(caught, mutants)
                cell(accepted, alternates)
                printf "<td class=\"number\">%.2f s</td></tr>\n", seconds
            }
            function cell(good, all) {
                printf "<td class=\"number %s\">%d of %d</td>", good == all ? "passed" : "broken", good, all
            }' "$notes/$level"
    done
    echo "</table>"
    for level in "$@"; do
        [ -f "$notes/$level" ] || continue
        printf '<h2 id="level-%s">Level %s – %s</h2>\n' "$level" "$level" "$(title_of "$level" | escape)"
        echo "<table><tr><th>Check</th><th>Rule</th><th>Mistakes it is named for</th></tr>"
        # The notes first, for the counts; then the rules, in the order of the grader.
        rules_of "$level" | escape | awk -F '\t' '
            NR == FNR {
                if ($1 == "mutant" && $3 == "caught") {
                    n = split($4, names, /[, ]+/)
                    for (i = 1; i <= n; i++) count[names[i]]++
                }
                next
            }
            {
                printf "<tr><td><code>%s</code></td><td>%s</td><td class=\"number %s\">%d</td></tr>\n", $1, $2,
                    count[$1] ? "" : "broken", count[$1]
            }' "$notes/$level" -
        echo "</table>"
        echo "<table><tr><th>Mistake</th><th>Caught by</th><th>Verdict</th><th>What was misunderstood</th></tr>"
        escape <"$notes/$level" | awk -F '\t' '$1 == "mutant" {
            printf "<tr><td>%s</td><td class=\"%s\">%s</td><td>%s</td><td>%s</td></tr>\n", $2,
                $3 == "caught" ? "" : "broken", $3 == "caught" ? $4 : $4 ": " $3, $5, $6
        }'
        echo "</table>"
        escape <"$notes/$level" | awk -F '\t' '$1 == "alternate" { made = made "<li>" $2 ": " $3 "</li>" }
            END { if (made) print "<p>Other answers:</p><ul>" made "</ul>" }'
    done
    end_page
}

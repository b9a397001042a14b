# Writes graded levels as JSON (-v form=json) or JUnit XML (-v form=junit). The input names their folders, one a line;
# verdicts.sh says what is in them. To be run in the C locale: bytes of UTF-8 pass as they are.

BEGIN {
    for (i = 1; i < 32; i++) control[sprintf("%c", i)] = sprintf("\\u%04x", i)
    control["\n"] = "\\n"
    control["\t"] = "\\t"
    control["\r"] = "\\r"
    control["\""] = "\\\""
    control["\\"] = "\\\\"
}

# A text as a JSON string.
function json(text,    i, c, made) {
    made = "\""
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        made = made (c in control ? control[c] : c)
    }
    return made "\""
}

# A text in XML, also as the value of an attribute. XML 1.0 has no way to write most control characters.
function xml(text,    i, c, made) {
    made = ""
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "&") c = "&amp;"
        else if (c == "<") c = "&lt;"
        else if (c == ">") c = "&gt;"
        else if (c == "\"") c = "&quot;"
        else if (c == "\n") c = "&#10;"
        else if (c == "\t") c = "&#9;"
        else if (c in control && c != "\\") c = "?"
        made = made c
    }
    gsub(/\357\277[\276\277]/, "?", made)
    return made
}

# The whole of a file; "" if there is none.
function content(file,    line, text) {
    text = ""
    while ((getline line < file) > 0) text = text (text == "" ? "" : "\n") line
    close(file)
    return text
}

function read_level(folder,    line, fields, file) {
    file = folder "/level"
    while ((getline line < file) > 0) {
        split(line, fields, "\t")
        about[fields[1]] = fields[2]
    }
    close(file)
    count = 0
    points = of = seconds = 0
    file = folder "/checks"
    while ((getline line < file) > 0) {
        split(line, fields, "\t")
        count++
        name[count] = fields[1]
        rule[count] = fields[2]
        verdict[count] = fields[3]
        duration[count] = fields[4] + 0
        worth[count] = fields[5] + 0
        text[count] = content(folder "/texts/" fields[1])
        of += fields[5]
        seconds += fields[4]
        if (fields[3] == "PASSED") points += fields[5]
    }
    close(file)
    message = content(folder "/message")
}

function level_as_json(    i, made) {
    made = "    {\n"
    made = made "      \"level\": " json(about["level"]) ",\n      \"title\": " json(about["title"]) ",\n"
    made = made "      \"outcome\": " json(about["outcome"]) ",\n      \"message\": " json(message) ",\n"
    made = made "      \"points\": " points ",\n      \"maxPoints\": " of ",\n      \"seconds\": " seconds ",\n"
    made = made "      \"graderDigest\": " json("sha256:" about["grader"]) ",\n"
    made = made "      \"engineDigest\": " json("sha256:" about["engine"]) ",\n"
    made = made "      \"checks\": ["
    for (i = 1; i <= count; i++) {
        made = made (i > 1 ? "," : "") "\n        {\"name\": " json(name[i]) ", \"rule\": " json(rule[i])
        made = made ", \"status\": " json(verdict[i]) ", \"message\": " json(text[i])
        made = made ", \"points\": " (verdict[i] == "PASSED" ? worth[i] : 0) ", \"maxPoints\": " worth[i]
        made = made ", \"seconds\": " duration[i] "}"
    }
    return made "\n      ]\n    }"
}

# A check that did not run because the code does not compile is skipped; that it does not compile is the error.
function level_as_junit(    i, made, kind, class, failures, errors, skipped, tests, broken) {
    class = "Level" about["level"] "Tests"
    broken = about["outcome"] == "does not compile" || about["outcome"] == "not graded"
    failures = errors = skipped = 0
    tests = count
    made = ""
    if (broken) {
        tests++
        errors++
        made = "    <testcase classname=\"" class "\" name=\"the level is built\" time=\"0\">\n"
        made = made "      <error type=\"" xml(about["outcome"]) "\" message=\"" xml(about["outcome"]) "\">"
        made = made xml(message) "</error>\n    </testcase>\n"
    }
    for (i = 1; i <= count; i++) {
        made = made "    <testcase classname=\"" class "\" name=\"" xml(name[i]) "\" time=\"" duration[i] "\""
        if (verdict[i] == "PASSED") {
            made = made "/>\n"
            continue
        }
        kind = "failure"
        if (verdict[i] == "NOT STARTED" || broken) { kind = "skipped"; skipped++ }
        else if (verdict[i] == "CRASHED" || verdict[i] == "NOT RUN") { kind = "error"; errors++ }
        else failures++
        made = made ">\n      <" kind (kind == "skipped" ? "" : " type=\"" xml(verdict[i]) "\"")
        made = made " message=\"" xml(verdict[i] ": " rule[i]) "\""
        made = made (kind == "skipped" ? "/>" : ">" xml(text[i]) "</" kind ">") "\n    </testcase>\n"
    }
    return "  <testsuite name=\"" xml("Level " about["level"] " – " about["title"]) "\" tests=\"" tests \
        "\" failures=\"" failures "\" errors=\"" errors "\" skipped=\"" skipped "\" time=\"" seconds "\">\n" \
        "    <properties>\n" \
        "      <property name=\"graderDigest\" value=\"sha256:" about["grader"] "\"/>\n" \
        "      <property name=\"engineDigest\" value=\"sha256:" about["engine"] "\"/>\n" \
        "    </properties>\n" made "  </testsuite>\n"
}

{
    read_level($0)
    all_points += points
    all_of += of
    body = body (form == "json" ? (NR > 1 ? ",\n" : "") level_as_json() : level_as_junit())
}

END {
    if (form == "json")
        printf "{\n  \"format\": 1,\n  \"points\": %d,\n  \"maxPoints\": %d,\n  \"levels\": [\n%s\n  ]\n}\n",
            all_points, all_of, body
    else
        printf "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n%s</testsuites>\n", body
}

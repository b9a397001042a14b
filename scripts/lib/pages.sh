# HTML pages that need no other file; to be sourced.

# The standard input as text in HTML.
escape() { tr -d '\000-\010\013-\037' | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g'; }

escaped() { printf '%s' "$1" | escape; }

# begin_page TITLE: until the first heading.
begin_page() {
    cat <<HTML
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$(escaped "$1")</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border: 1px solid #8886; padding: .25em .6em; text-align: left; vertical-align: top; }
td.number { text-align: right; }
.passed { background: #2a92; }
.failed { background: #da03; }
.broken { background: #d333; }
.none { opacity: .6; }
pre { background: #8881; overflow-x: auto; padding: .6em; }
</style>
</head>
<body>
<h1>$(escaped "$1")</h1>
HTML
}

end_page() { printf '</body>\n</html>\n'; }

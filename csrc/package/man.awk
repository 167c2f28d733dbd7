# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Writes manual pages of section 3 from the public headers: bid.3, and one for each function.
#
#   awk -v folder=man -v version=1.2.3 -f man.awk csrc/include/bid.h csrc/include/bid/*.h
#
# A header begins with a comment about its subject. Before each function stands a comment: what it does, then
# "Context: ... Progress: ... Memory: ... Returns: ...". The page of a function shows the types that it names.

function escape(text)
{
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (text ~ /^[.']/)
        text = "\\&" text
    return text
}

# A comment without its marks, lines separated by newlines.
function plain(comment,    n, i, lines, text, out)
{
    n = split(comment, lines, "\n")
    for (i = 1; i <= n; i++) {
        text = lines[i]
        sub(/^ *\/\* ?/, "", text)
        sub(/^ *\* ?/, "", text)
        sub(/ *\*\/$/, "", text)
        if (text == "/")
            continue
        out = out (i > 1 ? "\n" : "") text
    }
    sub(/^\n+/, "", out)
    sub(/\n+$/, "", out)
    return out
}

# Text as roff: paragraphs, lists ("- "), a heading over a line of dashes, and what is indented as it stands.
function roff(text,    n, i, lines, line, verbatim, out)
{
    n = split(text, lines, "\n")
    for (i = 1; i <= n; i++) {
        line = lines[i]
        if (verbatim && line !~ /^   / && line != "") {
            out = out ".fi\n.PP\n"
            verbatim = 0
        }
        if (line ~ /^   / && !verbatim) {
            out = out ".PP\n.nf\n"
            verbatim = 1
        }
        if (line == "") {
            if (!verbatim)
                out = out ".PP\n"
        } else if (i < n && lines[i + 1] ~ /^---/) {
            out = out ".PP\n.B " escape(line) "\n"
            i++
        } else if (line ~ /^- /) {
            out = out ".IP \\(bu 2\n" escape(substr(line, 3)) "\n"
        } else {
            if (!verbatim)
                sub(/^ +/, "", line)
            out = out escape(line) "\n"
        }
    }
    return out (verbatim ? ".fi\n" : "")
}

# Of what a function's comment says: its text, or one of the tagged parts, on one line.
function part(comment, tag,    at, text)
{
    text = "\n" comment
    gsub(/\n/, " ", text)
    at = match(text, / Context: /)
    if (tag == "")
        return at ? substr(comment, 1, at - 1) : comment
    text = substr(text, at)
    at = index(text, " " tag ": ")
    if (!at)
        return ""
    text = substr(text, at + length(tag) + 3)
    if (match(text, / (Context|Progress|Memory|Returns): /))
        text = substr(text, 1, RSTART - 1)
    return text
}

function begin_page(file, title, section)
{
    printf ".\\\" Made from the headers of bid.\n.TH %s 3 \"\" \"bid %s\" \"%s\"\n", title, version, section >file
}

# The types that a declaration names, and those that these name.
function types_of(text, seen,    word, out, rest)
{
    rest = text
    while (match(rest, /bid_[a-z_]+/)) {
        word = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        if (!(word in seen) && word in types) {
            seen[word] = 1
            out = out types_of(types[word], seen) types[word] "\n"
        }
    }
    return out
}

function page(name,    file, declaration, text, seen, tag, i, shown)
{
    file = folder "/" name ".3"
    declaration = declarations[name]
    text = part(comments[name], "")
    begin_page(file, toupper(name), "Library functions")
    shown = text
    sub(/\.( |\n|$).*/, "", shown)
    gsub(/\n/, " ", shown)
    printf ".SH NAME\n%s \\- %s\n", name, escape(tolower(substr(shown, 1, 1)) substr(shown, 2)) >file
    printf ".SH SYNOPSIS\n.nf\n.B #include <%s>\n.PP\n.B %s\n.fi\n", homes[name], escape(declaration) >file
    printf ".SH DESCRIPTION\n%s", roff(text) >file
    split("Context Progress Memory", tags, " ")
    printf ".SH CONTEXT, PROGRESS AND MEMORY\n" >file
    for (i = 1; i <= 3; i++)
        printf ".TP\n.B %s\n%s\n", tags[i], escape(part(comments[name], tags[i])) >file
    if ((tag = part(comments[name], "Returns")) != "")
        printf ".SH RETURN VALUE\n%s\n", escape(tag) >file
    delete seen
    seen["bid_status"] = 1
    if ((shown = types_of(declaration, seen)) != "")
        printf ".SH TYPES\n.nf\n%s.fi\n", verbatim(shown) >file
    printf ".SH SEE ALSO\n.BR bid (3)\n" >file
    close(file)
}

function verbatim(text,    n, i, lines, out)
{
    n = split(text, lines, "\n")
    for (i = 1; i < n; i++)
        out = out escape(lines[i]) "\n"
    return out
}

function overview(    file, i, j, home)
{
    file = folder "/bid.3"
    begin_page(file, "BID", "Library functions")
    printf ".SH NAME\nbid \\- a build\\-ID table that may be read from NMI context\n" >file
    printf ".SH SYNOPSIS\n.nf\n.B #include <bid.h>\n.PP\n" >file
    printf "%s\n.fi\n", escape("cc program.c $(pkg-config --cflags --libs bid)") >file
    printf ".SH DESCRIPTION\n%s", roff(subjects["bid.h"]) >file
    printf ".SH STATUSES\n.nf\n%s.fi\n", verbatim(types["bid_status"] "\n") >file
    for (i = 1; i <= headers; i++) {
        home = header[i]
        if (home == "bid.h")
            continue
        printf ".SH <%s>\n%s", home, roff(subjects[home]) >file
        if (members[home])
            printf ".PP\nFunctions:\n%s.\n", substr(members[home], 3) >file
    }
    close(file)
}

FNR == 1 {
    home = FILENAME
    sub(/.*include\//, "", home)
    header[++headers] = home
    comment = declaration = type = ""
}
/^\/\*/ && !/SPDX/ { in_comment = 1; comment = "" }
in_comment {
    comment = comment $0 "\n"
    if (/\*\/$/) {
        in_comment = 0
        if (!(home in subjects))
            subjects[home] = plain(comment)
    }
    next
}
/^(struct|enum|union) bid_[a-z_]+ \{/ || /^typedef / { type = $0; name = $2 }
type != "" {
    if ($0 != type)
        type = type "\n" $0
    if (/;$/ && (type ~ /^typedef/ || /^\};/)) {
        if (type ~ /^typedef/ && match(type, /\*bid_[a-z_]+/))
            name = substr(type, RSTART + 1, RLENGTH - 1)
        types[name] = type "\n"
        type = ""
    }
    next
}
/^BID_PUBLIC / { declaration = "" }
/^BID_PUBLIC / || declaration != "" {
    line = $0
    sub(/^ +|^BID_PUBLIC /, "", line)
    declaration = declaration (declaration != "" ? " " : "") line
    if (/;$/) {
        if (!match(declaration, /bid_[a-z0-9_]+\(/)) { # a variable
            declaration = comment = ""
            next
        }
        name = substr(declaration, RSTART, RLENGTH - 1)
        declarations[name] = declaration
        comments[name] = plain(comment)
        homes[name] = home
        members[home] = members[home] ",\n.BR " name " (3)"
        order[++functions] = name
        declaration = comment = ""
    }
}
END {
    for (i = 1; i <= functions; i++)
        page(order[i])
    overview()
}

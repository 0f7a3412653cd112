"""The same page as others hand it on: rewritten by a code formatter, or saved by a browser after DataTables ran.

Both keep what a person sees and change the bytes: white space, quotes, attributes, and (saved) the number of rows.
Works on bytes alone, on generated pages and on real ones.
"""

from __future__ import annotations

import re

_SCRIPT = re.compile(r'(<script type="text/javascript">)(\s*var racerLaps.*?)(</script>)', re.DOTALL)
_WIDTH = 80

# ---------------------------------------------------------------- the formatter


def prettier(body: bytes) -> bytes:
    """As a code formatter leaves a page: bare keys, double quotes, text wrapped in the middle of elements."""
    text = body.decode()
    found = _SCRIPT.search(text)
    if found is None:
        return _pretty_html(text).encode()
    before, after = text[: found.start(1)], text[found.end(3) :]
    script = f'<script type="text/javascript">\n{_pretty_script(found[2])}</script>\n'
    return (_pretty_html(before) + script + _pretty_html(after)).encode()


def _pretty_script(script: str) -> str:
    script = re.sub(r"\[\s*\]", "[]", script)
    lines = []
    depth = 3
    for line in filter(None, map(str.strip, script.split("\n"))):
        closes = line[0] in "}]"
        depth -= closes
        lines.append("  " * depth + _pretty_statement(line))
        depth += line[-1] in "{["
    return "\n".join(lines) + "\n"


def _pretty_statement(line: str) -> str:
    line = re.sub(r"^'(\w+)' : ", r"\1: ", line)
    line = re.sub(r"'((?:[^'\\]|\\.)*)'", _requote, line)
    return line + "," if re.search(r"(: \[\]|^\])$", line) else line  # a comma after every last item


def _requote(found: re.Match[str]) -> str:
    inner = found[1].replace("\\'", "'")
    return found[0] if '"' in inner else f'"{inner}"'  # the quote that needs fewer escapes


def _pretty_html(text: str) -> str:
    """Indented with blanks, without blank lines; long lines are broken inside tags, where white space is harmless."""
    lines = []
    for line in text.split("\n"):
        kept = line.lstrip("\t")
        if not kept.strip():
            continue
        indent = "  " * min(len(line) - len(kept), 12)
        lines.append(indent + _wrapped(re.sub(r"[ \t]+", " ", kept.rstrip()), indent))
    return "\n".join(lines).replace("<!DOCTYPE html>", "<!doctype html>", 1) + "\n"


def _wrapped(line: str, indent: str) -> str:
    cell = re.fullmatch(r'<td>(<div class="hidden">.*</div>)(.*)</td>', line)
    if cell:
        return f"<td>\n{indent}  {cell[1]}\n{indent}  {cell[2]}\n{indent}</td>"
    if len(line) + len(indent) <= _WIDTH or not line.startswith("<") or "<!--" in line or line.startswith("<script"):
        return line
    line = re.sub(r"(?<=[^\s>])><(?=\w)", f"\n{indent}  ><", line)
    line = re.sub(r"</(a|span|small|h3)>", rf"</\1\n{indent}>", line)
    return re.sub(r">([^<>\n]{50,})<", lambda found: f">{_broken(found[1], indent)}<", line)


def _broken(text: str, indent: str) -> str:
    head, separator, rest = text[40:].partition(" ")
    return f"{text[:40]}{head}\n{indent}  {rest}" if separator else text


# ---------------------------------------------------------------- the browser

_DATATABLE = re.compile(
    r'<table(?P<attributes>[^>]*(?:race_result|track_list|id="events"|_table_\d+")[^>]*)>(?P<inner>.*?)</table>',
    re.DOTALL,
)


def browser_saved(body: bytes) -> bytes:
    """As "Save as" writes a page after its scripts ran: DataTables' marks everywhere, and only the rows of one page."""
    text = body.decode()
    page_length = re.search(r"'pageLength': (\d+)", text)
    count = 0

    def rebuilt(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return _datatable(found, count - 1, int(page_length[1]) if page_length else None)

    text = _DATATABLE.sub(rebuilt, text)
    text = re.sub(r'(?<=[?&=\w])&(?=\w+=[^"<>]*")', "&amp;", text)  # a browser writes attributes by the book
    return text.replace("<br />", "<br>").replace("<hr />", "<hr>").encode()


def _datatable(found: re.Match[str], index: int, page_length: int | None) -> str:
    attributes = found["attributes"]
    name = re.search(r'id="([^"]*)"', attributes)
    table_id = name[1] if name else f"DataTables_Table_{index}"
    attributes = re.sub(r'class="([^"]*)"', r'class="\1 dataTable no-footer dtr-inline"', attributes)
    if not name:
        attributes += f' id="{table_id}"'
    inner, shown, total = _rows(_headings(found["inner"], table_id), page_length)
    return (
        f'<div id="{table_id}_wrapper" class="dataTables_wrapper form-inline dt-bootstrap no-footer">'
        f'<div class="row"><div class="col-sm-12"><table{attributes} role="grid">{inner}</table></div></div>'
        f'<div class="row"><div class="col-sm-5"><div class="dataTables_info" id="{table_id}_info" role="status">'
        f"Showing 1 to {shown} of {total} entries</div></div></div></div>"
    )


def _headings(inner: str, table_id: str) -> str:
    """Only the last row of thead is made sortable."""
    head, separator, rest = inner.partition("</thead>")
    opening, row, cells = head.rpartition("<tr>")
    marked = re.sub(r"<th([^>]*)>", rf'<th\1 tabindex="0" aria-controls="{table_id}" rowspan="1" colspan="1">', cells)
    marked = re.sub(r"<th(?! class)", '<th class="sorting"', marked).replace("sorting", "sorting_asc", 1)
    return f"{opening}{row.replace('<tr>', '<tr role=' + chr(34) + 'row' + chr(34) + '>')}{marked}{separator}{rest}"


def _rows(inner: str, page_length: int | None) -> tuple[str, int, int]:
    """The body's rows with their marks, cut to one page: (inner, rows shown, rows in all)."""
    before, opening, body = inner.partition("<tbody>")
    rows = re.findall(r"<tr[^>]*>.*?</tr>", body, re.DOTALL)
    shown = rows[:page_length]
    marked = [_row(row, "odd" if index % 2 == 0 else "even") for index, row in enumerate(shown)]
    return f"{before}{opening}{''.join(marked)}</tbody>", len(shown), len(rows)


def _row(row: str, parity: str) -> str:
    if row.startswith("<tr class="):
        row = row.replace('class="', f'class="{parity} ', 1).replace("<tr ", '<tr role="row" ', 1)
    else:
        row = row.replace("<tr>", f'<tr role="row" class="{parity}">', 1)
    return row.replace("<td>", '<td class="sorting_1">', 1)

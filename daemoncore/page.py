"""What the daemons' status pages look like: one document made on the server, with nothing to fetch besides.

It works without JavaScript, asks for itself again every few seconds, fits a telephone, and follows the
reader's choice of dark or light. Every value is escaped, by `text`, `known` or `moment`: peers and operators choose some
of them. What the other functions take is HTML already.
"""

import html
import time
from collections.abc import Iterable, Sequence
from typing import Final

#: How often a browser asks again, in seconds.
REFRESH_SECONDS: Final = 3

#: Allows the inline style and nothing else.
CONTENT_SECURITY_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --good: #1a7f37; --bad: #c93c37; --wait: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --good: #57ab5a; --bad: #f47067; --wait: #daaa3f; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .3rem; }
.headline { font-size: 1.2rem; margin: .3rem 0 1rem; }
.notice { border-left: .3rem solid var(--wait); padding: .3rem .8rem; margin: .5rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
td { vertical-align: top; }
td time { white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { opacity: .75; } dd { margin: 0; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); } .wait { color: var(--wait); }
footer { margin-top: 2rem; opacity: .75; font-size: .85rem; }
"""


def document(title: str, *, headline: str, body: str, now: float, heading: str) -> str:
    """Give the page.

    Args:
        title: for the browser's tab, plain text.
        headline: the one sentence that matters, HTML.
        body: notices, facts and tables, HTML.
        now: Unix time in seconds, for the footer.
        heading: what the page is about, plain text.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{text(heading)}</h1>\n"
        f'<p class="headline">{headline}</p>\n'
        f"{body}"
        f'<footer>{moment(now)}, again every {REFRESH_SECONDS} s. <a href="/status">status</a> '
        '<a href="/metrics">metrics</a></footer>\n</body>\n</html>\n'
    )


def shaded(value: object, shade: str) -> str:
    """Show a value as `good`, `bad` or `wait`."""
    return f'<span class="{shade}">{known(value)}</span>'


def notices(sentences: Iterable[str]) -> str:
    """Show what a reader should know first, HTML."""
    return "".join(f'<p class="notice" role="status">{sentence}</p>\n' for sentence in sentences)


def facts(title: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Show names and values as a list, both HTML."""
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>\n" for name, value in pairs)
    return f"<h2>{title}</h2>\n<dl>\n{rows}</dl>\n"


def table(title: str, columns: Iterable[str], rows: Sequence[Iterable[str]]) -> str:
    """Show a table of HTML cells, or that there is nothing to show."""
    if not rows:
        return f"<h2>{title}</h2>\n<p>None.</p>\n"
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return (
        f'<h2>{title}</h2>\n<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>\n"
    )


def text(value: object) -> str:
    """Show any value."""
    return html.escape(str(value))


def known(value: object) -> str:
    """Show a value that may be unknown."""
    return "-" if value is None else text(value)


def moment(unix_time: float) -> str:
    """Show a time in UTC, for people and for machines."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_time))
    return f'<time datetime="{stamp}">{stamp.replace("T", " ").replace("Z", " UTC")}</time>'

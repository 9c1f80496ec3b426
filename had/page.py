"""The status page: one document made on the server from the status, with nothing to fetch besides.

It works without JavaScript, asks for itself again every few seconds, fits a telephone, and follows the
reader's choice of dark or light. Every value is escaped: peers and operators choose some of them.
"""

import html
import time
from collections.abc import Iterable, Sequence
from typing import Final

from had.status import Peer, Status

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

_PEER_CLASS: Final = {"alive": "good", "silent": "bad", "refused": "bad", "denied": "bad"}
_CONTROLLEE_CLASS: Final = {"running": "good", "starting": "wait", "stopping": "wait", "backoff": "bad"}


def render(status: Status, now: float) -> str:
    """Give the page.

    Args:
        status: what to show.
        now: Unix time in seconds, for the footer.
    """
    title = f"{status.node} {status.state}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_text(status.node)}</h1>\n"
        f'<p class="headline">{_headline(status)}</p>\n'
        f"{_notices(status)}{_facts(status)}{_peers(status.peers)}{_history(status)}"
        f'<footer>{_moment(now)}, again every {REFRESH_SECONDS} s. <a href="/status">status</a> '
        '<a href="/metrics">metrics</a></footer>\n</body>\n</html>\n'
    )


def _headline(status: Status) -> str:
    """Say in one sentence whether the pool is served, and by whom."""
    name = _text(status.controllee.name or "controllee")
    if status.leader is None:
        return '<span class="bad">No leader is known.</span>'
    if status.leader != status.node:
        return f'<span class="good">{_text(status.leader)} leads</span>; this node is {_text(status.state)}.'
    state = status.controllee.state or "stopped"
    shade = _CONTROLLEE_CLASS.get(state, "bad")
    return f'<span class="good">This node leads</span>; its {name} is <span class="{shade}">{_text(state)}</span>.'


def _notices(status: Status) -> str:
    """Show what an operator has put in force."""
    notices = []
    if status.paused is not None:
        until = "until resumed" if status.paused.until is None else f"until {_moment(status.paused.until)}"
        notices.append(
            f"Automatic failover is paused by {_text(status.paused.by)} since "
            f"{_moment(status.paused.since)}, {until}: {_text(status.paused.reason)}"
        )
    if status.hold is not None:
        notices.append(
            f"{_text(status.hold.node)} is held from leading by a switchover of {_text(status.hold.by)} at "
            f"{_moment(status.hold.since)}: {_text(status.hold.reason)}"
        )
    return "".join(f'<p class="notice" role="status">{notice}</p>\n' for notice in notices)


def _facts(status: Status) -> str:
    """Show the node's own facts as a list."""
    controllee = status.controllee
    facts = [
        ("State", _text(status.state)),
        ("Leader", _known(status.leader)),
        ("Epoch", _text(status.epoch)),
        ("Primary", "yes" if status.primary else "no"),
    ]
    if status.majority is not None:
        majority = status.majority
        facts.append(("Votes", f"{majority.granted} granted, {majority.needed} needed"))
        facts.append(("Lease", f"{majority.lease_seconds:.1f} s"))
    if controllee.name is not None:
        shade = _CONTROLLEE_CLASS.get(controllee.state or "", "")
        facts.append((_text(controllee.name), f'<span class="{shade}">{_known(controllee.state)}</span>'))
        facts.append(("Process", _known(controllee.pid)))
        facts.append(("Restarts", _known(controllee.restarts)))
        facts.append(("Since", "-" if controllee.since is None else _moment(controllee.since)))
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>\n" for name, value in facts)
    return f"<h2>This node</h2>\n<dl>\n{rows}</dl>\n"


def _peers(peers: Sequence[Peer]) -> str:
    """Show the other members."""
    rows = [
        (
            _text(peer.address),
            f'<span class="{_PEER_CLASS.get(peer.state, "wait")}">{_text(peer.state)}</span>',
            "never" if peer.last_heard_seconds is None else f"{peer.last_heard_seconds:.1f} s ago",
            _known(peer.follows),
            _known(peer.version),
            _text(peer.implementation),
        )
        for peer in peers
    ]
    return _table("Members", ("Member", "State", "Heard", "Follows", "Version", "Implementation"), rows)


def _history(status: Status) -> str:
    """Show the transitions, the newest first."""
    rows = [
        (_moment(one.time), _text(one.source), _text(one.target), _text(one.reason), _text(one.epoch))
        for one in reversed(status.history)
    ]
    return _table("History", ("Time", "From", "To", "Reason", "Epoch"), rows)


def _table(title: str, columns: Iterable[str], rows: Sequence[Iterable[str]]) -> str:
    if not rows:
        return f"<h2>{title}</h2>\n<p>None.</p>\n"
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return (
        f'<h2>{title}</h2>\n<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>\n"
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _known(value: object) -> str:
    return "-" if value is None else _text(value)


def _moment(unix_time: float) -> str:
    """Show a time in UTC, for people and for machines."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_time))
    return f'<time datetime="{stamp}">{stamp.replace("T", " ").replace("Z", " UTC")}</time>'

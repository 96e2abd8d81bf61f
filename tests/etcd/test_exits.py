from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eco.core.model import Exit
from eco.etcd.exits import LONGEST, judge


def line(level: str, msg: str, error: str = "") -> str:
    entry = {"level": level, "ts": "2026-01-01T00:00:00Z", "msg": msg, **({"error": error} if error else {})}
    return json.dumps(entry)


def log(*lines: str) -> bytes:
    return "\n".join(lines).encode() + b"\n"


@pytest.mark.parametrize(
    ("status", "last", "meaning"),
    [
        (1, line("fatal", "discovery failed", "listen tcp :2379: bind: address already in use"), Exit.PORT_BUSY),
        (1, line("fatal", "failed to commit tx", "write /d/member/snap/db: no space left on device"), Exit.DISK),
        (1, line("fatal", "discovery failed", "open /d/.touch: read-only file system"), Exit.DISK),
        (1, line("fatal", "discovery failed", "walpb: crc mismatch"), Exit.DAMAGED),
        (1, line("fatal", "failed to open WAL", "openAtIndex failed: wal: file not found which matches"), Exit.DAMAGED),
        (1, line("fatal", "discovery failed", "proto: illegal wireType 7"), Exit.DAMAGED),
        (1, line("fatal", "discovery failed", "proto:\xa0cannot parse invalid wire-format data"), Exit.DAMAGED),
        (2, line("panic", "failed to open database", "file size too small 5000"), Exit.DAMAGED),
        (2, "panic: assertion failed: Page expected to be: 3, but self identifies as 1422", Exit.DAMAGED),
        (2, "panic: freepages: failed to get all reachable pages (page 13: out of bounds: 8)", Exit.DAMAGED),
        (2, line("panic", "tocommit(5) is out of range [lastIndex(3)]. Was the raft log corrupted?"), Exit.DAMAGED),
        (1, line("fatal", "discovery failed", "error validating peerURLs: member count is unequal"), Exit.CRASHED),
        (1, line("fatal", "discovery failed", "2a found data inconsistency with peers"), Exit.CRASHED),
        (2, "fatal error: runtime: out of memory", Exit.CRASHED),
    ],
)  # fmt: skip
def test_the_line_etcd_died_of_tells_why(status: int, last: str, meaning: Exit) -> None:
    earlier = line("warn", "simple token is not cryptographically signed")

    assert judge(status, log(earlier, last, "goroutine 1 [running]:"))[0] is meaning


def test_an_earlier_warning_of_damage_is_not_damage() -> None:
    story = log(line("error", "peer sent a snapshot", "crc mismatch"), line("fatal", "listener failed", "closed"))

    assert judge(1, story) == (Exit.CRASHED, "listener failed: closed")


def test_a_removed_member_is_told_by_any_line_whatever_it_exits_with() -> None:
    story = log(
        line("warn", "server error", "the member has been permanently removed from the cluster"),
        line("fatal", "listener failed", "server is stopping"),
    )

    assert judge(1, story) == (Exit.REMOVED, "server error: the member has been permanently removed from the cluster")


def test_leaving_without_an_error_and_unasked_is_what_a_removed_member_does() -> None:
    assert judge(0, b"")[0] is Exit.REMOVED


def test_etcds_own_last_line_says_more_than_the_panic_it_becomes() -> None:
    story = log(line("panic", "failed to open database", "invalid database"), "panic: failed to open database")

    assert judge(2, story) == (Exit.DAMAGED, "failed to open database: invalid database")


@pytest.mark.parametrize(
    "story",
    [
        log(line("info", "Running: "), line("warn", "failed to verify flags", "no such thing")),
        log("failed to verify flags: no such thing", "Usage:", "", "  etcd [flags]"),
    ],
)
def test_refused_flags_are_shown_in_etcds_words(story: bytes) -> None:
    assert judge(2, story) == (Exit.CRASHED, "it exited with status 2: failed to verify flags: no such thing")


def test_a_kill_is_called_a_kill_whatever_was_logged_before() -> None:
    story = log(line("error", "failed to update storage version", "missing term information"))

    assert judge(-9, story) == (Exit.CRASHED, "it was killed by SIGKILL (by hand, or because memory ran out)")


def test_a_full_disk_takes_no_last_words_and_speaks_for_itself() -> None:
    story = log(line("info", "starting an etcd server"))[:-20]

    assert judge(1, story, disk="no space is left") == (Exit.DISK, "no space is left")


def test_a_log_that_a_full_disk_cut_short_is_not_damaged_data() -> None:
    story = log(line("fatal", "failed to repair WAL", "unexpected EOF"))

    assert judge(1, story, disk="no space is left") == (Exit.DISK, "failed to repair WAL: unexpected EOF")


def test_a_member_that_panics_over_its_own_removal_was_removed() -> None:
    story = log(line("panic", "failed to find local ID in cluster members"))

    assert judge(2, story)[0] is Exit.REMOVED


def test_an_adopted_process_leaves_no_status() -> None:
    assert judge(None, b"")[0] is Exit.CRASHED


documents = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
pieces = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=80).map(str.encode),
    documents.map(lambda value: json.dumps({"level": "fatal", "msg": value, "error": value}).encode()),
    st.sampled_from([b"panic: ", b"{", b'{"level":', b"\xff\xfe", b"[" * 5000, b'{"msg":' + b"9" * 5000 + b"}"]),
)


@given(st.none() | st.integers(-70, 255), st.lists(pieces, max_size=6).map(b"\n".join), st.text(max_size=20))
def test_whatever_the_log_holds_the_words_are_one_short_printable_line(
    status: int | None, story: bytes, disk: str
) -> None:
    _, words = judge(status, story, disk=disk)

    assert words.isprintable()
    assert len(words) <= LONGEST

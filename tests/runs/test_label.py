"""What people call a run: bounded, free of what cannot be seen, whole at every moment, and in the report at once."""

from __future__ import annotations

import json
import os
import threading
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitlab.errors import RunError
from digitlab.evaluation.report import ReportInput, render_report
from digitlab.runs.label import LABEL, LONGEST_NOTE, LONGEST_TITLE, Label, plain_note, plain_title, read_label
from digitlab.runs.listing import all_runs
from digitlab.runs.run import CONFIG, REPORT, DamagedRun, Run

CONTENT = {"config": {"network": "codelab_cnn", "seed": 3, "epochs": 2}, "command": "digitlab train"}
HOSTILE = "<script>alert('1')</script>\"&<!--/label-->"


@pytest.fixture
def run(tmp_path):
    run = Run.create(tmp_path / "runs" / "mine")
    run.write_json(CONFIG, CONTENT)
    return run


def test_title_and_note_are_set_one_by_one_and_taken_away(run):
    assert run.label == Label()
    assert run.annotate(title="First") == Label("First")
    assert run.annotate(note="a\nb") == Label("First", "a\nb") == run.label == Run(run.path).label
    assert (run.info().title, run.info().note) == ("First", "a\nb")
    assert run.annotate(title="") == Label("", "a\nb")
    assert run.annotate(note=" \n ") == Label()
    assert not (run.path / LABEL).exists()


@given(st.text(max_size=300))
def test_nothing_unseen_is_left_and_what_is_plain_stays(text):
    title, note = plain_title(text), plain_note(text)
    for left in (title, note.replace("\n", "")):
        assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in left)
        assert not set(left) & set("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
    assert plain_title(title) == title
    assert plain_note(note) == note


@pytest.mark.parametrize("text", ["\u3164", "\u2800", "\u200d\u200c", "\u0301", "\u115f \uffa0", "\ufe0f\u034f"])
def test_title_that_nobody_sees_is_none(run, text):
    assert run.annotate(title=text, note=f"{text}\n{text}") == Label()


def test_letters_of_any_script_stay():
    for text in ("größer", "ניסוי ראשון", "第一次", "می‌خواهم", "👩‍🔬 α→β"):
        assert plain_title(text) == unicodedata.normalize("NFC", text)


def test_too_long_is_refused_and_leaves_what_was_there(run):
    run.annotate(title="x" * LONGEST_TITLE, note="y" * LONGEST_NOTE)
    with pytest.raises(RunError, match="at most 80 characters; got 81"):
        run.annotate(title="x" * (LONGEST_TITLE + 1))
    with pytest.raises(RunError, match="at most 2,000 characters"):
        run.annotate(title="new", note="y" * (LONGEST_NOTE + 1))
    assert run.label == Label("x" * LONGEST_TITLE, "y" * LONGEST_NOTE)


def test_longest_note_of_the_widest_letters_is_read_again(run):
    run.annotate(note="\U0001f600" * LONGEST_NOTE)
    assert run.label.note == "\U0001f600" * LONGEST_NOTE


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b'{"title": 3, "note": null}', b"\xff", b"[" * 100_000, b'{"title": "' + b"x" * 2**20],
)
def test_label_that_anybody_wrote_is_an_empty_one(run, content):
    (run.path / LABEL).write_bytes(content)
    assert run.label == Label()
    assert run.info().title == ""


def test_label_that_anybody_wrote_is_cut_and_cleaned(run):
    (run.path / LABEL).write_text(json.dumps({"title": "a\u202e\n" + "b" * 500, "note": "c\x1b" * 3_000, "more": 1}))
    label = run.label
    assert label.title == ("a " + "b" * 500)[:LONGEST_TITLE]
    assert label.note == "c" * LONGEST_NOTE


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_label_that_is_a_pipe_does_not_block(run):
    os.mkfifo(run.path / LABEL)
    assert run.label == Label()


def test_damaged_run_keeps_what_it_is_called(run):
    run.annotate(title="Broken one")
    (run.path / CONFIG).write_text("{")
    (found,) = all_runs(run.path.parent)
    assert isinstance(found, DamagedRun)
    assert found.title == "Broken one"


def test_run_that_is_gone_gets_no_label(run, tmp_path):
    run.path.rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="There is no run"):
        run.annotate(title="x")


def test_run_that_is_trained_can_be_named(run):
    lock = run.lock()
    try:
        assert run.annotate(title="while it learns").title == "while it learns"
    finally:
        lock.release()


def test_title_and_note_that_are_written_at_once_are_both_kept(run):
    def write(**what):
        for _ in range(20):
            run.annotate(**what)

    threads = [threading.Thread(target=write, kwargs=what) for what in ({"title": "T"}, {"note": "N"})]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.label == Label("T", "N")


def test_report_tells_the_label_at_once_and_nothing_else_in_it_changes(run):
    run.write_bytes(REPORT, render_report(ReportInput(title=run.name)).encode())
    before = (run.path / REPORT).read_text()
    run.annotate(title=HOSTILE, note="first line\n<b>second</b>")
    told = (run.path / REPORT).read_text()
    assert "<h1>&lt;script&gt;" in told
    assert '<p class="note">mine</p>' in told
    assert '<p class="note">&lt;b&gt;second&lt;/b&gt;</p>' in told
    assert HOSTILE not in told
    run.annotate(title="", note="")
    assert (run.path / REPORT).read_text() == before


def test_report_written_later_tells_the_label(run):
    label = run.annotate(title="A & B", note="why")
    page = render_report(ReportInput(title=run.name, label=label))
    assert "<title>A &amp; B" in page
    assert page.count("<h1>A &amp; B</h1>") == 1


def test_report_that_digitlab_did_not_write_is_left_as_it_is(run):
    for content in (b"<h1>mine</h1>", b"<!--label--> never ends", b"\xff<!--/label--><!--label-->"):
        run.write_bytes(REPORT, content)
        run.annotate(title="x")
        assert (run.path / REPORT).read_bytes() == content


def test_label_is_no_stranger_in_a_run_that_is_replaced(run):
    run.annotate(title="x")
    assert read_label(Run.create(run.path, force=True).path) == Label()

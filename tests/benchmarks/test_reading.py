"""The benchmark of reading: truth is checked, scores are those of the literature, the page tells what was measured."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digitlab.data.mnist import MnistData
from digitlab.errors import DataError
from digitlab.reading.photo import open_photo

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def truth(benchmark_module) -> ModuleType:
    return benchmark_module("reading_folders")


@pytest.fixture(scope="module")
def scores(benchmark_module) -> ModuleType:
    return benchmark_module("reading_scores")


@pytest.fixture(scope="module")
def script(benchmark_module) -> ModuleType:
    return benchmark_module("reading")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Small folders of every kind, made from MNIST's test digits."""
    home = tmp_path_factory.mktemp("folders")
    test = MnistData.load().test

    def save(path: Path, *indices: int) -> None:
        paper = np.full((60, 40 * len(indices) + 20), 255, np.uint8)
        for place, index in enumerate(indices):
            paper[16:44, 12 + 40 * place : 40 + 40 * place] -= test.images[index]
        Image.fromarray(paper).resize((4 * paper.shape[1], 240)).save(path)

    for name, kind, rows in (
        ("single", "digit", {"7.png": "7", "2.png": "2", "empty.png": "blank"}),
        ("amounts", "digits", {"72.png": "72", "10.png": "10"}),
        ("sheets", "lines", {"sheet.png": "72|10"}),
        ("words", "letter", {"x.png": "x"}),
    ):
        (home / name).mkdir()
        lines = "".join(f"{file}\t{told}\n" for file, told in rows.items())
        (home / name / "truth.tsv").write_text(f"file\t{kind}\n{lines}")
    save(home / "single" / "7.png", 0)
    save(home / "single" / "2.png", 1)
    Image.new("L", (200, 200), 250).save(home / "single" / "empty.png")
    save(home / "amounts" / "72.png", 0, 1)
    save(home / "amounts" / "10.png", 2, 3)
    Image.new("L", (200, 200), 250).save(home / "words" / "x.png")
    sheet = Image.new("L", (400, 480), 255)
    for row, name in enumerate(("72.png", "10.png")):
        with Image.open(home / "amounts" / name) as part:
            sheet.paste(part, (0, 240 * row))
    sheet.save(home / "sheets" / "sheet.png")
    return home


def test_truth_of_every_kind_is_read(truth, folders) -> None:
    assert [(item.digits, item.told) for item in truth.read_truth(folders / "single").items] == [
        ("7", "7"),
        ("2", "2"),
        ("", "blank"),
    ]
    assert truth.read_truth(folders / "sheets").items[0].digits == "72 10"
    assert truth.read_truth(folders / "words").items[0].digits == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "headings"),
        ("file\tword\n", "headings"),
        ("name\tdigit\n", "headings"),
        ("file\tdigit\n", "no files"),
        ("file\tdigit\na.png\n", "Line 2"),
        ("file\tdigit\nb.png\t1\n", "no such file"),
        ("file\tdigit\na.png\t12\n", "no digit"),
        ("file\tdigits\na.png\t1x\n", "no digits"),
    ],
)
def test_truth_that_cannot_be_used_is_a_sentence(truth, tmp_path, text: str, expected: str) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "truth.tsv").write_text(text)
    with pytest.raises(truth.TruthError, match=expected):
        truth.read_truth(tmp_path)
    with pytest.raises(truth.TruthError, match=r"truth\.tsv cannot be read"):
        truth.read_truth(tmp_path / "nothere")


@settings(deadline=None, max_examples=60)
@given(st.text("012", max_size=4), st.text("012", max_size=4))
def test_matches_are_those_of_the_best_of_all_alignments(scores, truth_text: str, text: str) -> None:
    best = (99, 0)
    for k in range(min(len(truth_text), len(text)) + 1):
        for ours, theirs in itertools.product(
            itertools.combinations(range(len(truth_text)), k), itertools.combinations(range(len(text)), k)
        ):
            met = sum(truth_text[i] == text[j] for i, j in zip(ours, theirs, strict=True))
            best = min(best, (len(truth_text) + len(text) - k - met, -met))
    assert scores.n_matched(truth_text, text) == -best[1]


@pytest.mark.interop
@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(0, 5), min_size=1))
def test_area_under_the_roc_is_scikit_learns(scores, positive: list[int], negative: list[int]) -> None:
    from sklearn.metrics import roc_auc_score

    labels = [1] * len(positive) + [0] * len(negative)
    assert scores.area_under_roc(positive, negative) == pytest.approx(roc_auc_score(labels, positive + negative))


def test_scores_count_digits_wholes_refusals_and_coverage(scores) -> None:
    def answer(truth: str, text: str, confidence: float):
        return scores.Answer("a.png", truth, text, truth, confidence, 1 - confidence, 0.1)

    figures = scores.score([answer("12", "12", 0.9), answer("30", "3", 0.2), answer("", "", 0), answer("", "4", 0.5)])
    assert (figures["digits"]["n_right"], figures["digits"]["n"]) == (3, 4)
    assert figures["digits"]["n_extra"] == 0
    assert figures["whole"]["share"] == 0.5
    assert figures["refused"]["share"] == 0.5
    shares = {point["coverage"]: point["share"] for point in figures["coverage"]}
    assert (shares[1.0], shares[0.5]) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("truth_text", "lines", "expected"),
    [
        (["123", "45"], [["123"], ["45"]], [True, True]),
        (["123", "45"], [["12", "3"], ["5"]], [True, True, False]),
        (["123"], [["13"]], [False]),
        (["123"], [["173"]], [False]),
        (["123"], [["1", "2", "3"], ["1"]], [True, True, True, False]),
        (["1234"], [["1", "2", "4"]], [True, True, True]),
        (["1234"], [["1", "24"]], [True, False]),
        ([""], [["1"]], [False]),
        (["11", "1"], [["1"], ["1"]], [False, True]),
        (["7"], [], []),
    ],
)
def test_a_number_is_right_if_it_stands_there_and_nothing_beside_it_was_left_out(
    benchmark_module, truth_text: list[str], lines: list[list[str]], expected: list[bool]
) -> None:
    assert benchmark_module("reading_scores").judged(truth_text, lines) == expected


def test_bars_tell_what_is_asked_and_whether_it_is_reached(benchmark_module) -> None:
    bars = benchmark_module("reading_scores")
    share = {"n": 100, "n_right": 97, "share": 0.97}
    entry = {"name": "strings", "way": "photo", "digits": share, "whole": share | {"share": 0.8}}
    trust = {"claims": [{"least": 0.99, "n": 0}], "n_certain_where_nothing_stands": 1, "n_where_nothing_stands": 2}
    case = {"case": "18", "is_right": True}
    rows = bars.verdicts({"entries": [entry], "cases": [case, case], "trust": trust})
    assert [(row["what"], row["is_reached"]) for row in rows] == [
        ("strings, digits", True),
        ("strings, whole", False),
        ("case 18", True),
        ("read at 99.9 % where nothing stands", False),
    ]


def test_cases_are_asked_as_a_person_would(benchmark_module, folders, tmp_path) -> None:
    cases = benchmark_module("reading_folders")
    assert {ask for case in cases.KNOWN["cases"] for ask in case["ask"]} == set(cases.ASKS)
    assert cases.measure_cases(tmp_path, None) == []


@pytest.mark.slow
def test_folders_of_every_kind_are_scored_in_one_run(script, folders, tmp_path, capsys) -> None:
    names = ("single", "amounts", "sheets", "words")
    out, sheets = tmp_path / "r.json", tmp_path / "sheets"
    assert script.main([*(str(folders / name) for name in names), "--out", str(out), "--pictures", str(sheets)]) == 0
    result = json.loads(out.read_text())
    assert [(entry["name"], entry["way"]) for entry in result["entries"]] == [
        *(("single", "digit"), ("single", "photo"), ("amounts", "photo"), ("sheets", "photo")),
        *(("words", "digit"), ("words", "photo")),
    ]
    for entry in result["entries"]:
        assert entry.get("whole", {"share": 1})["share"] == 1, entry
        assert entry.get("refused", {"share": 1})["share"] == 1, entry
    assert [(found["refuse"], found["keep"], found["area"]) for found in result["refusals"]] == [
        ("single", "single", 1.0),
        ("words", "single", 1.0),
    ]
    assert result["trust"]["n"] == sum(claim["n"] for claim in result["trust"]["bins"]) >= 6
    assert "| amounts | 2 | 100 %" in capsys.readouterr().out
    assert str(folders) not in out.read_text()


def test_what_failed_is_on_the_sheet(benchmark_module, scores, folders, tmp_path) -> None:
    sheet = benchmark_module("reading_page").write_sheet
    wrong = scores.Answer("7.png", "7", "1", "7", 0.9, 0.1, 0.1)
    path = tmp_path / "deep" / "sheet.png"
    assert sheet([wrong], {"7.png": folders / "single" / "7.png"}, path) == 1
    with Image.open(path) as image:
        assert image.size[0] > 150
    assert sheet([], {}, path) == 0
    assert not path.exists()


def test_a_folder_that_cannot_be_scored_is_a_sentence(script, tmp_path, capsys) -> None:
    assert script.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("Error: ")


def test_the_composed_photo_holds_the_numbers_it_tells(benchmark_module) -> None:
    compose = benchmark_module("reading_speed").compose
    photo = compose(n_lines=2, n_digits=3, width=400, height=300, seed=1)
    assert photo.pixels.shape == (300, 400)
    assert [len(number) for number in photo.numbers] == [3, 3]
    assert np.array_equal(photo.pixels, compose(n_lines=2, n_digits=3, width=400, height=300, seed=1).pixels)


def test_the_page_and_its_chart_are_those_of_the_last_measurement(benchmark_module) -> None:
    pages = benchmark_module("reading_page")
    result = json.loads(pages.RESULTS.read_text("utf-8"))
    speed = json.loads(pages.SPEED.read_text("utf-8")) if pages.SPEED.exists() else None
    assert pages.PAGE.read_text("utf-8") == pages.page(result, speed)
    assert pages.COVERAGE.read_text("utf-8") == pages.coverage_chart(result)
    if result["trust"]["n"]:
        assert pages.RELIABILITY.read_text("utf-8") == pages.reliability_chart(result)
    for shown in result["shown"]:
        assert pages.failures_image(shown["name"]).exists()
    readme = (ROOT / "docs" / "measurements" / "index.md").read_text("utf-8")
    assert pages.readme_table(result, speed) in readme
    for entry in result["entries"]:
        assert entry["name"] in pages.KNOWN["folders"], "a published folder tells its origin and licence"


def test_composed_numbers_are_a_folder_to_score(benchmark_module, truth, tmp_path) -> None:
    assert benchmark_module("reading_composed").main([str(tmp_path / "own"), "--pictures", "3"]) == 0
    found = truth.read_truth(tmp_path / "own")
    assert (found.kind, len(found.items)) == ("digits", 3)
    assert all(1 <= len(item.digits) <= 8 for item in found.items)


def test_only_what_a_licence_allows_is_shown(benchmark_module) -> None:
    pages = benchmark_module("reading_page")
    for known in pages.KNOWN["folders"].values():
        if files := known.get("shown"):
            assert "MIT" in known["licence"] or "CC BY" in known["licence"]
            # Where not all is free, the free files are named.
            assert files is not True or "none" not in known["licence"]
    assert not pages.may_be_shown("kenya_tallies", "ke_00.jpg")
    assert not pages.may_be_shown("few_pages_dev", "numbers2.jpg")
    assert pages.may_be_shown("few_pages_dev", "sparsha.jpg")
    assert pages.may_be_shown("strings", "any.jpg")


def test_the_origin_of_every_folder_is_told_and_its_bars_can_be_measured(benchmark_module) -> None:
    scores, ways = benchmark_module("reading_scores"), benchmark_module("reading_folders").WAYS
    for name, known in scores.KNOWN["folders"].items():
        assert {"what", "origin", "licence"} <= known.keys(), name
        for way, measure, asked in scores.bars_of(name):
            assert any(way in of_kind for of_kind in ways.values())
            assert measure in ("digits", "whole", "refused", "extra")
            assert asked >= 0
    assert {name for name, _, _ in scores.KNOWN["readme"]} <= scores.KNOWN["folders"].keys()


def test_a_part_of_a_folder_is_the_same_pictures_at_even_steps(script, truth) -> None:
    items = tuple(truth.Item(Path(f"{k}.png"), "1", "1") for k in range(250))
    part = script.part_of(truth.Truth("own", "digit", items), 100)
    assert part == script.part_of(truth.Truth("own", "digit", items), 100)
    assert len(part) == len(set(part)) == 100
    assert script.part_of(truth.Truth("own", "digit", items[:7]), 100) == items[:7]


def test_what_became_right_or_wrong_since_is_told(script) -> None:
    def entry(*files: str) -> dict[str, object]:
        failed = [{"file": file, "truth": "12", "read": "1"} for file in files]
        return {"name": "own", "way": "photo", "n": 3, "failed": failed}

    told = script.changed({"entries": [entry("a.png", "b.png")]}, {"entries": [entry("b.png", "c.png")]})
    assert [line[:24] for line in told.splitlines()] == ["+ own, photo: a.png: 12,", "- own, photo: c.png: 12,"]
    assert script.changed({"entries": []}, {"entries": [entry("a.png")]}) == ""


@pytest.mark.slow
def test_a_files_bytes_may_claim_more_pixels_than_can_be_read(benchmark_module) -> None:
    speed = benchmark_module("reading_speed")
    content = speed.huge_png()
    assert len(content) < 2**20
    assert struct.unpack(">II", content[16:24]) == (20_000, 20_000)
    with pytest.raises(DataError, match="megapixels"):
        open_photo(content)


def test_what_is_slower_or_larger_than_asked_is_told_in_a_sentence(benchmark_module) -> None:
    speed = benchmark_module("reading_speed")
    row = {"title": "a page", "median": "2.0 s", "peak_bytes": None}
    entries = [
        row | {"name": "scan", "seconds": [2.0]},
        row | {"name": "photo", "seconds": [0.5], "peak_bytes": 700_000_000},
        row | {"name": "pad", "seconds": [9.0]},
    ]
    told = speed.missed({"entries": entries, "is_refused": True})
    assert len(told) == 2
    assert all(sentence.endswith("is asked.") for sentence in told)

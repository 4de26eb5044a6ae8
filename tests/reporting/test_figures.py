"""Figures: numbers drawn equal numbers given, axes say what they show, files repeat to the byte."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cra_lib.evaluator.annotations import read_questions, read_truths
from cra_lib.evaluator.metrics import HEADLINE
from cra_lib.paths import ResultFiles
from cra_lib.records import Span
from cra_lib.reporting import figures, tables
from cra_lib.reporting.figures.blind import BLIND_ROWS, GROUNDING
from cra_lib.reporting.figures.catalogue import FIGURES, SECTIONS, TABLES
from cra_lib.reporting.looks import CYCLE, LOOKS, in_order, look


@pytest.fixture(scope="module")
def reports(made_up):
    return tables.read_reports(made_up.results)


@pytest.fixture(scope="module")
def scores(reports):
    return tables.score_table(reports)


def texts(figure: Figure) -> list[str]:
    """Every text of a figure that is not empty."""
    found = figure.findobj(mpl.text.Text)
    return [text.get_text() for text in found if text.get_text()]


def values_drawn(figure: Figure) -> set[float]:
    """All coordinates of lines and lengths of bars, rounded."""
    numbers = []
    for axes in figure.findobj(mpl.axes.Axes):
        for line in axes.lines:
            numbers += [*np.ravel(line.get_xdata()), *np.ravel(line.get_ydata())]
        for bar in axes.patches:
            if isinstance(bar, mpl.patches.Rectangle):
                numbers += [bar.get_width(), bar.get_height()]
    return {round(float(number), 4) for number in numbers}


def a_case(questions, truths, said) -> figures.Case:
    """The first question with black frames."""
    clip = np.zeros((4, 30, 40, 3), np.uint8), (2.0, 6.0, 10.0, 14.0)
    return figures.case_of(questions[0].key, (questions, truths), said, "post-hoc", clip)


def one_of_each(made_up, reports, scores) -> dict[str, Figure]:
    """Every figure of the catalogue, from the made-up results."""
    truths = read_truths(made_up.data, "test")
    questions = read_questions(made_up.data.questions("test"))
    test = tables.first_seed(reports, "test")
    contents = {name: report.content for name, report in test.items()}
    said = tables.predictions_of(made_up.results, "cra", 2024, "test")
    case = a_case(questions, truths, said)
    shares = {name: content["span_histograms"]["post-hoc"] for name, content in contents.items()}
    shares["truth"] = contents["cra"]["span_histograms"]["truth"]
    changes = tables.ablation(made_up.results, reports, truths, samples=20)
    histories = tables.read_histories(made_up.results)
    return {
        "main_scores": figures.score_points(scores, "test", references={"mIoU": 25.0}),
        "ablation": figures.ablation_bars(changes),
        "by_type": figures.by_type(tables.type_table(reports, "test")),
        "bias_study": figures.bias_study(scores, references={"test": {"blind": 33.0}}),
        "faithfulness": figures.faithfulness_bars(tables.faithfulness_table(reports, "test")),
        "calibration": figures.calibration({n: c["calibration"] for n, c in contents.items()}),
        "same_video_overlap": figures.same_video_overlap({"cra": 30.0, "ng+": 80.0}, 20.0),
        "iop_curves": figures.iop_curves({"cra": [0.1, 0.9], "ng+": [0.0, 1.0]}),
        "span_distributions": figures.span_distributions(shares),
        "attention": figures.attention_over_time({"right and grounded": case, "wrong": case}),
        "training_curves": figures.training_curves(histories["cra"]),
        "validation_curves": figures.validation_curves(histories),
        "question_counts": figures.question_counts(pd.DataFrame({"CW": [3, 4]}, index=["a", "b"])),
        "segment_ratios": figures.segment_ratios({"val": [0.1, 0.2], "test": [0.3]}),
        "answer_cooccurrence": figures.answer_cooccurrence(
            pd.DataFrame({"baby": [10.0, 2.0], "woman": [1.0, 8.0]}, index=["crawl", "sing"])
        ),
        "evidence_strip": figures.evidence_strip(
            case.frames, case.times, [Span(5.0, 9.0)], 16.0, questions[0]
        ),
        "examples": figures.answer_strips([case, case]),
        "confounder_scores": figures.confounder_scores(over_k()),
        "blind_val": figures.blind_points(blind_rows()),
        "blind_test": figures.blind_points(blind_rows()),
    }


def over_k() -> pd.DataFrame:
    """Scores of CRA with three sizes of the dictionaries."""
    rows = [(size, metric, 50.0 + size / 8) for size in (16, 32, 64) for metric in HEADLINE]
    table = pd.DataFrame(rows, columns=["K", "metric", "value"])
    return table.assign(low=table["value"] - 2, high=table["value"] + 2, seeds=2)


def blind_rows() -> pd.DataFrame:
    """What constant intervals score, and one published method."""
    rows = [(name, "none", metric, 20.0) for name in BLIND_ROWS for metric in GROUNDING]
    rows += [("CRA", "weak", metric, 25.0) for metric in GROUNDING]
    table = pd.DataFrame(rows, columns=["method", "supervision", "metric", "value"])
    return table.assign(low=table["value"] - 1, high=table["value"] + 1)


@pytest.fixture(scope="module")
def drawn(made_up, reports, scores):
    return one_of_each(made_up, reports, scores)


def test_every_figure_of_the_catalogue_can_be_drawn(drawn):
    assert {name for name, item in FIGURES.items() if item.notebook == "05"} <= set(drawn)
    assert all(item.section in SECTIONS for item in (*FIGURES.values(), *TABLES.values()))
    assert all(item.caption and item.alt for item in FIGURES.values())


@pytest.mark.parametrize("name", [*(n for n in FIGURES if FIGURES[n].notebook == "05"), "examples"])
def test_axes_are_labelled_with_units_and_nothing_is_titled(drawn, name):
    figure = drawn[name]
    for axes in figure.findobj(mpl.axes.Axes):
        assert not axes.get_title(), "titles belong into the caption"
        if (
            np.size(axes.get_xticks())
            and not axes.images
            and axes.xaxis.get_tick_params()["labelbottom"]
        ):
            assert axes.get_xlabel() or axes.get_ylabel(), f"{name} has bare axes"
    shown = " ".join(texts(figure))
    units = ("%", "(s)", "video length", "epoch", "questions", "IoP", "points")
    assert any(unit in shown for unit in units), f"{name} names no unit: {shown}"
    assert figure.get_layout_engine() is not None


def test_scores_drawn_are_the_scores_of_the_files(drawn, scores):
    wanted = scores[(scores["split"] == "test") & scores["metric"].isin(tables.building.HEADLINE)]
    assert {round(value, 4) for value in wanted["value"]} <= values_drawn(drawn["main_scores"])
    assert {round(value, 4) for value in wanted["low"]} <= values_drawn(drawn["main_scores"])


def test_bias_study_draws_every_split_and_the_references(drawn, scores):
    wanted = scores[scores["metric"] == "Acc@GQA"]
    numbers = values_drawn(drawn["bias_study"])
    assert {round(value, 4) for value in wanted["value"]} <= numbers
    assert 33.0 in numbers
    assert "best without video" in texts(drawn["bias_study"])


def test_faithfulness_square_shows_its_four_numbers():
    shares = {"right and grounded": 41.0, "right but ungrounded": 21.5}
    shares |= {"wrong but grounded": 7.5, "wrong and ungrounded": 30.0}
    shown = texts(figures.faithfulness_square(shares))
    assert {"41.0 %", "21.5 %", "7.5 %", "30.0 %"} <= set(shown)


def test_segments_outside_the_video_are_clipped_for_drawing():
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    figure = figures.evidence_strip(frames, (1, 2, 3, 4), [Span(-0.1, 25.1)], 5.0)
    bars = [bar for axes in figure.findobj(mpl.axes.Axes) for bar in axes.patches]
    lengths = [bar.get_width() for bar in bars if isinstance(bar, mpl.patches.Rectangle)]
    assert 5.0 in lengths


def test_a_variant_that_does_not_smooth_has_no_sigma_panel(made_up):
    histories = tables.read_histories(made_up.results)
    assert len(figures.training_curves(histories["cra"]).axes) == 3
    assert len(figures.training_curves(histories["ng+"]).axes) == 2


def test_attention_without_raw_weights_draws_one_curve(made_up, drawn):
    """A variant that does not smooth has one curve, and no legend for another."""
    truths = read_truths(made_up.data, "test")
    said = tables.predictions_of(made_up.results, "cra", 2024, "test")
    case = a_case(read_questions(made_up.data.questions("test")), truths, said)
    bare = dataclasses.replace(case.prediction, raw_weights=None)
    bare_case = case._replace(prediction=bare)
    alone = texts(figures.attention_over_time({"wrong": bare_case}))
    assert "with smoothing" in alone and "without smoothing" not in alone
    assert "without smoothing" in texts(drawn["attention"])


def test_saving_writes_both_files_and_repeats_to_the_byte(tmp_path, scores):
    first = figures.save(figures.score_points(scores, "test"), tmp_path / "a", "main_scores")
    again = figures.save(figures.score_points(scores, "test"), tmp_path / "b", "main_scores")
    assert first.png.read_bytes() == again.png.read_bytes()
    assert first.pdf.read_bytes() == again.pdf.read_bytes()
    assert first.alt == FIGURES["main_scores"].alt
    content, shown = first._repr_png_()
    assert content.startswith(b"\x89PNG") and shown["width"] > 300
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "main_scores.csv",
        "main_scores.pdf",
        "main_scores.png",
    ]


def test_drawing_leaves_the_callers_settings_alone(scores):
    before = mpl.rcParams["font.size"]
    figures.score_points(scores, "test")
    assert mpl.rcParams["font.size"] == before


def test_known_methods_differ_in_colour_and_marker():
    methods = [LOOKS[name] for name in LOOKS if name not in ("blind", "random")]
    assert len({style.colour for style in methods}) == len(methods)
    # A method on a frozen language model has its counterpart's marker and a line of its own.
    for frozen in (True, False):
        family = [LOOKS[name] for name in LOOKS if name.startswith("frozen-") == frozen]
        family = [style for style in family if style in methods]
        assert len({style.marker for style in family}) == len(family)
    assert len(set(CYCLE)) == len(CYCLE)


def contrast_on_white(colour: str) -> float:
    """Contrast ratio against white as WCAG 2 defines it."""
    channels = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return 1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05)


def test_every_colour_can_be_seen_on_white():
    for colour in {*CYCLE, *(style.colour for style in LOOKS.values())}:
        assert contrast_on_white(colour) > 2, colour


def test_labels_beside_the_overlap_bars_do_not_meet_the_line():
    figure = figures.same_video_overlap({"cra": 17.0, "ng+": 57.0}, 19.0)
    [axes] = figure.axes
    numbers = [text for text in axes.texts if text.get_text() in ("17", "57")]
    assert len(numbers) == 2 and all(text.xy[0] > 1 for text in numbers)  # right of the axes


def test_thin_bins_are_counted_but_not_drawn():
    bins = [
        {"confidence": 30.0, "accuracy": 0.0, "questions": 2},
        {"confidence": 90.0, "accuracy": 80.0, "questions": 50},
    ]
    upper, lower = figures.calibration({"cra": {"bins": bins, "error": 4.0}}).axes
    assert list(upper.lines[-1].get_xdata()) == [90.0]
    assert list(lower.lines[0].get_ydata()) == [2, 50]


def test_what_is_not_grounded_at_half_can_be_read_off():
    figure = figures.iop_curves({"cra": [0.1, 0.2, 0.9, 1.0]})
    x, y = figure.axes[0].lines[0].get_data()
    assert y[np.searchsorted(x, 0.5) - 1] == 50


def test_every_scored_method_has_a_row_of_spans(drawn, made_up):
    rows = [text.get_text() for text in drawn["span_distributions"].axes[0].get_yticklabels()]
    assert rows == ["Ground truth", *(look(name).label for name in in_order(made_up.variants))]


def test_outcomes_and_the_question_are_written_out(drawn):
    shown = " ".join(texts(drawn["attention"]))
    assert "RIGHT AND GROUNDED: " in shown and "WRONG: " in shown
    assert "what did the" in " ".join(texts(drawn["evidence_strip"]))


def test_one_example_of_each_outcome(made_up):
    said = tables.predictions_of(made_up.results, "cra", 2024, "test")
    truths = read_truths(made_up.data, "test")
    found = tables.examples_by_outcome(said, truths, "post-hoc")
    assert list(found) == ["right and grounded", "right but ungrounded", "wrong"]
    assert said[found["wrong"]].answer != truths[found["wrong"]].answer
    assert found == tables.examples_by_outcome(said, truths, "post-hoc"), "drawn, and repeatable"


def test_numbers_drawn_lie_beside_the_picture(tmp_path, scores):
    shelf = figures.Shelf(ResultFiles(tmp_path))
    shelf("main_scores", figures.score_points(scores, "test"))
    table = pd.read_csv(tmp_path / "figures" / "main_scores.csv")
    wanted = scores[(scores["split"] == "test") & (scores["metric"] == "mIoU")]
    found = table[table["metric"] == "mIoU"].set_index("variant")["value"]
    assert found.to_dict() == pytest.approx(wanted.set_index("variant")["value"].to_dict(), 1e-5)
    assert shelf("main", table).markdown == tmp_path / "tables" / "main.md"


def test_methods_keep_the_order_of_the_tables():
    assert in_order({"ng+", "post-hoc", "cra", "my-own"}) == ["cra", "post-hoc", "ng+", "my-own"]
    assert look("my-own").label == "my-own"


def test_clearing_leaves_what_other_notebooks_made(tmp_path):
    results = ResultFiles(tmp_path)
    results.figures.mkdir()
    for name in ("main_scores.png", "main_scores.pdf", "question_graph.png"):
        (results.figures / name).write_bytes(b"x")
    figures.clear(results)
    assert [path.name for path in results.figures.iterdir()] == ["question_graph.png"]


def test_figures_tables_and_report_never_import_torch():
    code = (
        "import sys; from cra_lib.reporting import figures, report, tables; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

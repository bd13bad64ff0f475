"""Text from outside in a log line: one line, printable, bounded, and not too often."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.log_text import LineRate, one_line


@given(st.text(max_size=400))
def test_any_text_becomes_one_printable_line(text: str) -> None:
    line = one_line(text, 100)
    assert line.isprintable()
    assert len(line) <= 100 + len("… (400 characters)")


@given(st.text(st.characters(categories=["L", "N"]), max_size=300))
def test_a_short_printable_text_stays_as_it_is(text: str) -> None:
    assert one_line(text) == text


def test_line_breaks_and_sequences_that_drive_a_terminal_are_escaped() -> None:
    assert one_line("a\nb\x1b[31mc\u202ed\ud800") == "a\\nb\\x1b[31mc\\u202ed\\ud800"


def test_a_megabyte_is_cut_and_its_length_told() -> None:
    assert one_line("x" * 1_000_000, 10) == "xxxxxxxxxx… (1000000 characters)"


def test_an_error_is_shown_as_its_text() -> None:
    assert one_line(ValueError("no\tgood")) == "no\\tgood"


def test_lines_beyond_the_rate_are_left_out_and_told_of_with_the_next() -> None:
    rate = LineRate(lines_max=2, interval_s=10.0)
    assert [rate.admit(f"line {number}", 100.0 + number) for number in range(5)] == [
        "line 0",
        "line 1",
        None,
        None,
        None,
    ]
    assert rate.admit("later", 110.0) == "later (3 such lines were left out before)"
    assert rate.admit("and again", 110.0) == "and again"


def test_what_is_admitted_is_one_line() -> None:
    assert LineRate().admit("a\nb", 0.0) == "a\\nb"

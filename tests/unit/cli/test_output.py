"""The output of the program: stored text is printed as text, never as markup or control characters."""

import json

import pytest

from crdtkv.cli import output
from crdtkv.cli.app import DEBUG, _told
from crdtkv.cli.output import as_json, complain, escaped, json_text, named, say, shown, table
from crdtkv.errors import InvalidRequest, Unavailable

Captured = pytest.CaptureFixture[str]


def test_nothing_in_a_table_is_markup_or_the_name_of_an_emoji(capsys: Captured) -> None:
    table("a [b]title[/b]", ("key", "value"), [("user:key:1", "[red]x[/red] :heart:"), ("[/x]", "[bold]")])
    assert capsys.readouterr().out == (
        "a [b]title[/b]\nkey         value\nuser:key:1  [red]x[/red] :heart:\n[/x]        [bold]\n"
    )


def test_on_a_terminal_nothing_in_a_table_is_markup_either(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_console", output.Console(force_terminal=True, width=100, color_system=None))
    table("[/x] :key:", ("key", "value"), [("user:key:1", "[/x] \x1b[2J")])
    shown_lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert shown_lines == ["[/x] :key:", "key         value", "user:key:1  [/x] \\x1b[2J"]


def test_a_row_is_one_line_however_long_its_cells(capsys: Captured) -> None:
    table("", ("key", "value", "n"), [("a", "ab " * 2000, 1), ("b", "one\ntwo", 22)])
    header, long, short = capsys.readouterr().out.splitlines()
    assert long.startswith("a    ab ab ")
    assert long.endswith("ab    1")
    assert (header, short) == ("key  value      n", "b    one\\ntwo  22")


def test_what_a_terminal_would_act_on_is_escaped() -> None:
    assert escaped("grüße 漢字") == "grüße 漢字"
    assert escaped("a\x1b[2J\x9b\n\u202e", keeping="\n") == "a\\x1b[2J\\x9b\n\\u202e"


def test_a_value_is_written_as_it_is_but_on_a_terminal(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    say("a\x1b[2J\n\tb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    say("a\x1b[2J\n\tb")
    assert capsys.readouterr().out == "a\x1b[2J\n\tb\na\\x1b[2J\n\tb\n"


def test_a_complaint_shows_no_control_characters(capsys: Captured) -> None:
    complain("first\nkey \x1b]0;x\x07")
    assert capsys.readouterr().err == "crdtkv: first\ncrdtkv: key \\x1b]0;x\\x07\n"


def test_numbers_json_lacks_and_names_that_are_one_to_it_are_not_lost(capsys: Captured) -> None:
    as_json({"infinite": [float("inf"), float("-inf"), float("nan")], "names": {1: "one", "1": "text"}})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "infinite": [{"float": "inf"}, {"float": "-inf"}, {"float": "nan"}],
        "names": [[1, "one"], ["1", "text"]],
    }
    assert json_text({1: "one", "two": 2}) == '{"1": "one", "two": 2}'


def test_no_two_keys_look_the_same_in_json() -> None:
    assert named("0xff") == {"key": "0xff"}
    assert named(b"\xff") == named("\udcff") == {"key": "0xff", "key_hex": "ff"}
    assert named("a\x1b") == {"key": "a\x1b"}
    assert (shown("k"), shown(b"\xff"), shown("a\x1b")) == ("k", "0xff", "0x611b")


def test_an_error_nobody_expected_is_one_line_with_what_to_do(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DEBUG, raising=False)
    assert _told(KeyError("x\n")) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("crdtkv: unexpected KeyError: 'x\\n'")
    assert f"set {DEBUG}=1, run it again, and report" in line
    monkeypatch.setenv(DEBUG, "1")
    assert _told(KeyError("x")) == 3
    assert "KeyError" in capsys.readouterr().err.splitlines()[0]


def test_errors_of_the_product_have_their_exit_codes(capsys: Captured) -> None:
    assert [_told(InvalidRequest("no")), _told(Unavailable(2, 1))] == [2, 3]
    assert capsys.readouterr().err.startswith("crdtkv: no\ncrdtkv: 2 replicas are required")

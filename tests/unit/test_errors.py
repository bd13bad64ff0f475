"""Errors travel: the class, fields, text and `maybe_applied` a node raised are what its client raises again."""

import copy
import pickle

import pytest

from crdtkv import cbor, errors
from crdtkv.errors import ERRORS_BY_CODE, CrdtkvError, UnknownBucket, WriteTimeout, error_from_wire

SAMPLES: dict[str, object] = {
    "message": "it went wrong",
    "received": 1,
    "required": 2,
    "alive": 1,
    "size_bytes": 600_000,
    "limit_bytes": 524_288,
    "requested": 7,
    "available": 3,
    "value": 10,
    "retry_after_ms": 250,
}


def sample(error_class: type[CrdtkvError]) -> CrdtkvError:
    return error_class(*(SAMPLES[name] for name in error_class.field_names))


def all_errors() -> list[type[CrdtkvError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, CrdtkvError)]
    return [error for error in found if not error.__name__.startswith("_")]


@pytest.mark.parametrize("code", ERRORS_BY_CODE)
def test_an_error_that_went_over_the_wire_is_raised_again_as_it_was(code: str) -> None:
    sent = sample(ERRORS_BY_CODE[code])
    code_received, fields = cbor.decode(cbor.encode([sent.code, list(sent.fields)]))
    received = error_from_wire(code_received, fields)
    assert type(received) is type(sent)
    assert received.fields == sent.fields
    assert str(received) == str(sent)
    assert received.maybe_applied == sent.maybe_applied
    for name in sent.field_names:
        if name != "message":
            assert getattr(received, name) == SAMPLES[name]


def test_an_unknown_code_may_have_been_applied_and_tells_what_it_was() -> None:
    error = error_from_wire("disk_on_fire", ["eu-1", 451])
    assert type(error) is CrdtkvError
    assert str(error) == "disk_on_fire: eu-1, 451"
    assert error.maybe_applied


@pytest.mark.parametrize("code", ERRORS_BY_CODE)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_known_code_with_other_fields_than_ours_may_have_been_applied(code: str, change: int) -> None:
    fields: list[object] = list(range(len(ERRORS_BY_CODE[code].field_names) + change))
    error = error_from_wire(code, fields)
    assert type(error) is CrdtkvError
    assert error.maybe_applied


def test_only_a_write_that_timed_out_may_have_been_applied() -> None:
    assert [error for error in all_errors() if sample(error).maybe_applied] == [WriteTimeout]


def test_marking_one_error_leaves_the_others_of_its_class_alone() -> None:
    assert error_from_wire("of a newer node", []).maybe_applied
    assert not CrdtkvError("plain").maybe_applied


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in all_errors()]
    assert len(set(codes)) == len(codes)
    assert all(error.code == code for code, error in ERRORS_BY_CODE.items())


@pytest.mark.parametrize("error_class", all_errors())
def test_every_error_is_one_line_that_says_something(error_class: type[CrdtkvError]) -> None:
    text = str(sample(error_class))
    assert len(text) > 5
    assert "\n" not in text


@pytest.mark.parametrize("error_class", all_errors())
def test_an_error_survives_pickling_and_copying(error_class: type[CrdtkvError]) -> None:
    error = sample(error_class)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is error_class
        assert again.fields == error.fields
        assert str(again) == str(error)


@pytest.mark.parametrize(
    ("error_class", "builtin"),
    [
        (errors.InvalidKey, ValueError),
        (errors.UnknownBucket, ValueError),
        (errors.ValueTooLarge, ValueError),
        (errors.InvalidRequest, ValueError),
        (errors.ConfigError, ValueError),
    ],
)
def test_errors_of_a_known_kind_are_caught_as_pythons_own(
    error_class: type[CrdtkvError], builtin: type[Exception]
) -> None:
    with pytest.raises(builtin):
        raise sample(error_class)


def test_the_text_of_an_error_is_its_message_as_it_is() -> None:
    assert str(UnknownBucket("unknown bucket 'x'")) == "unknown bucket 'x'"


def test_quorum_errors_name_their_figures_and_the_next_step() -> None:
    assert str(errors.Unavailable(2, 1)).startswith("2 replicas are required, 1 are alive: use a lower")
    assert str(errors.ReadTimeout(1, 2)).startswith("1 of 2 required replicas answered in time: retry")
    assert str(errors.WriteTimeout(1, 2)).endswith("read the key before you repeat it")
    assert "split it over several keys" in str(errors.ValueTooLarge(9, 8))


def test_a_counter_that_is_high_enough_tells_that_others_hold_the_rest() -> None:
    assert str(errors.InsufficientRights(7, 3, 10)).startswith(
        "7 were requested, 10 are left, but only 3 may be taken here"
    )
    assert str(errors.InsufficientRights(11, 3, 10)) == "11 were requested, only 10 are left"


def test_a_replica_that_is_behind_has_written_nothing() -> None:
    assert not errors.StaleReplica("retry").maybe_applied

"""Models: a value that put accepts is read back as an equal value; put refuses all others."""

import datetime as dt
import enum
import math
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, PlainSerializer, SecretStr, computed_field

import crdtkv
from crdtkv.client.codecs import Codec, decoded, encoded
from crdtkv.errors import CrdtkvError, InvalidRequest, ValueTooLarge

NOW = dt.datetime(2024, 2, 29, 12, 30, 15, 250_001, tzinfo=dt.UTC)
NAIVE = NOW.replace(tzinfo=None)


class Strict(BaseModel, strict=True):
    at: dt.datetime
    tags: tuple[str, ...]


class Picture(BaseModel):
    data: bytes


class Larger(Picture):
    width: int = 0


class Color(enum.Enum):
    RED = "red"


class Everything(BaseModel):
    data: bytes
    color: Color
    path: Path
    time: dt.time
    span: dt.timedelta
    naive: dt.datetime
    price: Decimal
    id: UUID
    numbers: set[int]
    names: dict[int, str]
    inner: Strict


class Aliased(BaseModel):
    user: str = Field(alias="userName")


class Computed(BaseModel, extra="forbid"):
    side: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.side**2


class Either(BaseModel):
    what: dt.datetime | str


class Hidden(BaseModel):
    shown: int
    hidden: int = Field(default=0, exclude=True)


class Secret(BaseModel):
    password: SecretStr


class Loose(BaseModel):
    what: Any


class Rounded(BaseModel):
    share: Annotated[float, PlainSerializer(round)]


class Measured(BaseModel):
    value: float


EVERYTHING = Everything(
    data=b"\xff",
    color=Color.RED,
    path=Path("/tmp"),
    time=dt.time(1, 2, 3),
    span=dt.timedelta(days=1, microseconds=3),
    naive=NAIVE,
    price=Decimal("1.10"),
    id=UUID(int=7),
    numbers={1, 2},
    names={1: "one"},
    inner=Strict(at=NOW, tags=("a",)),
)


@pytest.mark.parametrize(
    ("of", "value"),
    [
        (Strict, Strict(at=NOW, tags=("a", "b"))),
        (Picture, Picture(data=b"\xff\xd8")),
        (Picture, Picture(data=b"text")),
        (Everything, EVERYTHING),
        (Aliased, Aliased(userName="ada")),
        (Computed, Computed(side=3)),
        (Either, Either(what=NOW)),
        (Either, Either(what="2024-02-29T12:30:15Z")),
        (Hidden, Hidden(shown=1)),
        (Loose, Loose(what=b"\xff")),
        (Measured, Measured(value=math.inf)),
        (list[int], [1, 2]),
        (bytes, b"\xff"),
        (tuple[int, ...], (1, 2)),
        (frozenset[str], frozenset({"a"})),
        (dict[bytes, int], {b"\xff": 1}),
        (dt.datetime, NAIVE),
    ],
    ids=lambda one: repr(one)[:40],
)
def test_a_value_is_read_as_it_was_put(of: Any, value: Any) -> None:
    codec = crdtkv.model(of)
    for _ in range(2):  # the second value uses the form that the first one needed
        read = decoded(codec, encoded(codec, value))
        assert read == value
        assert type(read) is type(value)


def test_a_number_that_differs_from_itself_is_read_as_it_was_put() -> None:
    codec = crdtkv.model(Measured)
    assert math.isnan(decoded(codec, encoded(codec, Measured(value=math.nan))).value)


@pytest.mark.parametrize(
    ("of", "value"),
    [
        (Hidden, Hidden(shown=1, hidden=2)),
        (Secret, Secret(password=SecretStr("s3cret"))),
        (Picture, Larger(data=b"x", width=3)),
        (Loose, Loose(what=(1, 2))),
        (Rounded, Rounded(share=0.4)),
    ],
    ids=lambda one: repr(one)[:40],
)
def test_a_value_that_would_be_read_as_another_one_is_refused(of: Any, value: Any) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read back unchanged"):
        encoded(crdtkv.model(of), value)


def test_one_codec_accepts_values_of_different_forms_in_turn() -> None:
    codec = crdtkv.model(Picture)
    for data in (b"text", b"\xff", b"text", b"\xfe"):
        assert decoded(codec, encoded(codec, Picture(data=data))) == Picture(data=data)


def test_a_value_that_an_earlier_version_stored_in_json_types_is_read() -> None:
    stored = encoded(crdtkv.CBOR, {"at": "2024-02-29T12:30:15.250001Z", "tags": ["a"]})
    assert decoded(crdtkv.model(Strict), stored) == Strict(at=NOW, tags=("a",))


def test_an_invalid_model_is_refused_by_writes_and_reads() -> None:
    codec = crdtkv.model(Picture)
    with pytest.raises(InvalidRequest, match="not a valid Picture"):
        encoded(codec, 7)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="the stored value is not a valid Picture: data: Field required"):
        decoded(codec, encoded(crdtkv.CBOR, {"date": 1}))


def test_a_model_that_is_too_large_says_how_large() -> None:
    with pytest.raises(ValueTooLarge):
        encoded(crdtkv.model(Picture), Picture(data=b"\xff" * 600_000))


class Careless:
    """A codec that raises other errors than `InvalidRequest`."""

    def to_plain(self, value: bytes) -> object:
        return value.decode()

    def from_plain(self, plain: Any) -> bytes:
        return plain.encode()  # type: ignore[no-any-return]


def test_whatever_a_codec_raises_is_an_error_of_this_package() -> None:
    codec: Codec[bytes] = Careless()
    with pytest.raises(CrdtkvError, match="cannot store this: UnicodeDecodeError"):
        encoded(codec, b"\xff")
    with pytest.raises(CrdtkvError, match="cannot read the stored value: AttributeError"):
        decoded(codec, encoded(crdtkv.CBOR, 7))


@pytest.mark.parametrize("value", [math.nan, math.inf, [1, -math.inf], {"a": math.nan}], ids=repr)
def test_json_refuses_nan_and_infinity(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="JSON cannot represent this float"):
        encoded(crdtkv.JSON, value)

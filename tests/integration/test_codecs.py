"""Values of other programs: what this program's codec refuses ends nothing and hides nothing, and can be resolved."""

import datetime as dt
from typing import Any

import pytest
from pydantic import BaseModel

import crdtkv
from crdtkv import Client, InvalidRequest, Undecodable

pytestmark = pytest.mark.asyncio(loop_scope="session")


class User(BaseModel):
    name: str


class Order(BaseModel, strict=True):
    at: dt.datetime
    tags: tuple[str, ...]
    scan: bytes


OLD = {"nom": "of an older program"}


@pytest.fixture
def users(eu: Client) -> crdtkv.Bucket[User]:
    return eu.bucket("carts", of=crdtkv.model(User))


async def beside_each_other(eu: Client, key: str, *values: Any) -> None:
    """Write values that know nothing of each other, the last the latest."""
    raw = eu.bucket("carts")
    await raw.put(key, 0)
    context = (await raw.entry(key)).context
    for value in values:
        await raw.put(key, value, context=context)


async def test_a_model_is_read_as_it_was_written(eu: Client) -> None:
    orders = eu.bucket("carts", of=crdtkv.model(Order))
    order = Order(at=dt.datetime.now(dt.UTC), tags=("a", "b"), scan=b"\xff\xd8")
    await orders.put("order", order)
    assert await orders.get("order") == order
    assert (await orders.entry("order")).siblings == [order]


async def test_of_many_values_the_one_that_the_codec_refuses_is_refused_alone(users: crdtkv.Bucket[User]) -> None:
    told = await users.put_many({"many a": User(name="a"), "many b": 7, "many c": User(name="c")})  # type: ignore[dict-item]
    assert [type(told[key]) for key in ("many a", "many b", "many c")] == [type(None), InvalidRequest, type(None)]
    read = await users.get_many(["many a", "many c"])
    assert read == {"many a": User(name="a"), "many c": User(name="c")}


async def test_a_scan_goes_on_past_a_value_that_the_codec_refuses(eu: Client, users: crdtkv.Bucket[User]) -> None:
    assert set((await users.put_many({f"scanned {n}": User(name="x") for n in range(20)})).values()) == {None}
    await eu.bucket("carts").put("scanned 7", OLD)
    found = {key: entry async for key, entry in users.scan("scanned ")}
    assert len(found) == 20
    with pytest.raises(InvalidRequest, match="the stored value is not a valid User"):
        found["scanned 7"].value  # noqa: B018 - that it raises is what is tested
    assert found["scanned 7"].undecodable[0].plain == OLD
    assert {entry.value.name for key, entry in found.items() if key != "scanned 7"} == {"x"}
    await users.put("scanned 7", User(name="mended"), context=found["scanned 7"].context)
    assert await users.get("scanned 7") == User(name="mended")


async def test_a_sibling_that_the_codec_refuses_hides_no_winner(eu: Client, users: crdtkv.Bucket[User]) -> None:
    await beside_each_other(eu, "hidden", OLD, {"name": "good"})
    assert await users.get("hidden") == User(name="good")
    entry = await users.entry("hidden")
    assert entry.value == User(name="good")
    assert entry.readable == [User(name="good")]
    assert [one.plain for one in entry.undecodable] == [OLD]


@pytest.mark.parametrize("values", [(OLD, {"name": "good"}), ({"name": "good"}, OLD), (OLD,)], ids=repr)
async def test_update_resolves_siblings_of_which_one_cannot_be_read(
    eu: Client, users: crdtkv.Bucket[User], values: tuple[Any, ...]
) -> None:
    await beside_each_other(eu, "resolved", *values)
    given: list[Any] = []

    def resolve(them: list[Any]) -> User:
        given.extend(them)
        return next((one for one in them if isinstance(one, User)), User(name="nobody"))

    written = await users.update("resolved", lambda user: User(name=user.name + "!") if user else user, resolve=resolve)
    assert [one.plain for one in given if isinstance(one, Undecodable)] == [OLD]
    assert [one for one in given if isinstance(one, User)] == [User(name="good")] * (len(values) - 1)
    assert (await users.entry("resolved")).siblings == [written]
    assert (await eu.bucket("carts").entry("resolved")).siblings == [{"name": written.name}]


async def test_update_without_resolve_replaces_nothing_that_it_cannot_read(
    eu: Client, users: crdtkv.Bucket[User]
) -> None:
    await beside_each_other(eu, "unresolved", OLD, {"name": "good"})
    with pytest.raises(InvalidRequest, match="the stored value is not a valid User"):
        await users.update("unresolved", lambda user: user)
    assert (await eu.bucket("carts").entry("unresolved")).siblings == [{"name": "good"}, OLD]


async def test_members_that_the_codec_refuses_hide_no_others(eu: Client) -> None:
    await eu.set("mixed").add("a", 7)
    texts = eu.set("mixed", of=crdtkv.TEXT)
    with pytest.raises(InvalidRequest, match="a str is expected"):
        await texts.members()
    assert (await texts.entry()).readable == [{"a"}]
    assert await texts.contains("a")
    assert await texts.size() == 2


async def test_a_board_with_a_member_that_the_codec_refuses_still_tells_ranks_and_scores(eu: Client) -> None:
    await eu.board("mixed").set(7, 3)
    await eu.board("mixed").set("a", 2)
    texts = eu.board("mixed", of=crdtkv.TEXT)
    assert await texts.score("a") == 2
    assert await texts.rank("a") == 1
    assert await texts.ranking(1) == [("a", 2)]
    with pytest.raises(InvalidRequest, match="a str is expected"):
        await texts.ranking()


async def test_a_context_goes_through_its_text_form(eu: Client) -> None:
    await eu.put("by text", 1)
    text = (await eu.entry("by text")).context.to_text()
    await eu.put("by text", "unseen")
    await eu.put("by text", 2, context=crdtkv.ReadContext.from_text(text))
    assert sorted(map(str, (await eu.entry("by text")).siblings)) == ["2", "unseen"]

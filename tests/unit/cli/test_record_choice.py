"""The distributions of YCSB: their shares against what is computed, with fixed seeds."""

from collections import Counter
from random import Random

import pytest

from crdtkv.cli.record_choice import (
    SCATTERED_ITEMS,
    SCATTERED_WEIGHT,
    THETA,
    Choice,
    Latest,
    ScrambledZipfian,
    Uniform,
    Zipfian,
    scattered,
)

DRAWS = 200_000


def weight(rank: int) -> float:
    return float((rank + 1) ** -THETA)


def drawn(choice: Choice, count: int, seed: int = 1) -> Counter[int]:
    random = Random(seed)
    return Counter(choice.record(random, count) for _ in range(DRAWS))


def test_the_hash_is_that_of_ycsb() -> None:
    """YCSB's first two keys are user6284781860667377211 and user8517097267634966620."""
    assert [scattered(0), scattered(1)] == [6284781860667377211, 8517097267634966620]


def test_zipfian_ranks_have_the_shares_that_the_formula_says() -> None:
    count, random = 1_000, Random(7)
    zipfian = Zipfian(count)
    seen = Counter(zipfian.rank(random) for _ in range(DRAWS))
    total = sum(map(weight, range(count)))
    for rank in (0, 1):
        assert seen[rank] / DRAWS == pytest.approx(weight(rank) / total, rel=0.02)
    for first, last in ((0, 10), (0, 100), (100, 500), (500, 1_000)):
        share = sum(seen[rank] for rank in range(first, last)) / DRAWS
        assert share == pytest.approx(sum(map(weight, range(first, last))) / total, rel=0.05), (first, last)
    assert set(seen) <= set(range(count))


@pytest.mark.parametrize("count", [1, 2, 3, 17])
def test_few_ranks_all_come_and_no_others(count: int) -> None:
    zipfian, random = Zipfian(count), Random(3)
    assert {zipfian.rank(random) for _ in range(10_000)} == set(range(count))


def test_the_extreme_draws_are_within_bounds() -> None:
    class Fixed(Random):
        def __init__(self, value: float) -> None:
            self.value = value

        def random(self) -> float:
            return self.value

    for count in (1, 2, 3, 1_000, SCATTERED_ITEMS):
        zipfian = Zipfian(count, SCATTERED_WEIGHT if count == SCATTERED_ITEMS else None)
        assert zipfian.rank(Fixed(0.0)) == 0
        assert count * 0.9 - 1 <= zipfian.rank(Fixed(1 - 2**-53)) <= count - 1


def test_zipfian_ranks_that_grew_are_those_of_that_many() -> None:
    grown, whole = Zipfian(10), Zipfian(500)
    grown.grow(500)
    grown.grow(20)  # it does not shrink
    ours, theirs = Random(5), Random(5)
    assert [grown.rank(ours) for _ in range(1_000)] == [whole.rank(theirs) for _ in range(1_000)]


def test_scrambled_zipfian_has_the_shares_of_the_scattered_ranks() -> None:
    count, head = 1_000, 100_000
    expected = [0.0] * count
    for rank in range(head):
        expected[scattered(rank) % count] += weight(rank) / SCATTERED_WEIGHT
    rest = (1 - sum(expected)) / count
    seen = drawn(ScrambledZipfian(count), count)
    hottest = sorted(range(count), key=lambda record: -expected[record])
    assert hottest[:2] == [scattered(0) % count, scattered(1) % count]
    for record in hottest[:2]:
        assert seen[record] / DRAWS == pytest.approx(expected[record] + rest, rel=0.04)
    for some in (hottest[:20], hottest[:200], hottest[200:]):
        share = sum(expected[record] + rest for record in some)
        assert sum(seen[record] for record in some) / DRAWS == pytest.approx(share, rel=0.06)
    assert set(seen) <= set(range(count))
    assert len(seen) > 0.9 * count


def test_scrambled_zipfian_stays_with_its_records_when_others_are_inserted() -> None:
    choice = ScrambledZipfian(100)
    assert drawn(choice, 100) == drawn(choice, 5_000)


def test_latest_prefers_the_newest_records() -> None:
    count = 1_000
    total = sum(map(weight, range(count)))
    seen = drawn(Latest(count), count)
    assert seen[count - 1] / DRAWS == pytest.approx(weight(0) / total, rel=0.03)
    newest, oldest = (sum(seen[record] for record in some) for some in (range(900, 1_000), range(100)))
    assert newest / DRAWS == pytest.approx(sum(map(weight, range(100))) / total, rel=0.05)
    assert newest > 20 * oldest > 0
    assert set(seen) <= set(range(count))


def test_latest_follows_what_is_inserted() -> None:
    choice = Latest(10)
    drawn(choice, 10)
    seen = drawn(choice, 2_000)
    assert seen.most_common(1)[0][0] == 1_999
    assert max(seen) == 1_999
    assert min(seen) < 100


def test_uniform_draws_every_record_alike() -> None:
    seen = drawn(Uniform(), 100)
    assert set(seen) == set(range(100))
    assert all(0.85 < count / (DRAWS / 100) < 1.15 for count in seen.values())

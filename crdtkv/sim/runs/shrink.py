"""Shrinking: the smallest plan that still fails in the same way.

A plan is data, so parts of it can be left out: first the weather and whole kinds of incidents, then calls and single
incidents (delta debugging: halves, quarters, … single ones), then nodes and data centers, until every part is needed. A
smaller plan "fails" if it breaks the same invariant, even by other events.

Source: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input" (2002).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from crdtkv.sim.plan.plan import Plan
from crdtkv.sim.plan.shape import Shape, Weather
from crdtkv.sim.runs.runner import Verdict, run_plan

Fails = Callable[[Plan], bool]


def shrink(verdict: Verdict, say: Callable[[str], None] = lambda _: None) -> Verdict:
    """Return the verdict on the smallest plan found that breaks the same invariant."""
    smallest = verdict
    tried = 0

    def fails(plan: Plan) -> bool:
        nonlocal smallest, tried
        tried += 1
        attempt = run_plan(plan)
        if attempt.failure is None or attempt.invariant != verdict.invariant:
            return False
        smallest = attempt
        return True

    while True:
        before = smallest.plan
        for attempt in (_without_weather, _without_kinds, _fewer_calls, _fewer_incidents, _smaller_shape):
            attempt(smallest.plan, fails)
            plan = smallest.plan
            say(f"{tried} runs: {len(plan.calls)} calls, {len(plan.incidents)} incidents, {plan.shape}")
        if smallest.plan == before:
            return smallest


def _without_weather(plan: Plan, fails: Fails) -> None:
    calm = Weather()
    for field in fields(Weather):
        if getattr(plan.weather, field.name) != getattr(calm, field.name):
            changed = replace(plan, weather=replace(plan.weather, **{field.name: getattr(calm, field.name)}))
            plan = changed if fails(changed) else plan


def _without_kinds(plan: Plan, fails: Fails) -> None:
    for kind in sorted({incident.kind for incident in plan.incidents}):
        left = tuple(incident for incident in plan.incidents if incident.kind != kind)
        changed = replace(plan, incidents=left)
        plan = changed if fails(changed) else plan


def _fewer_calls(plan: Plan, fails: Fails) -> None:
    _fewer(plan.calls, lambda left: fails(replace(plan, calls=tuple(left))))


def _fewer_incidents(plan: Plan, fails: Fails) -> None:
    _fewer(plan.incidents, lambda left: fails(replace(plan, incidents=tuple(left))))


def _smaller_shape(plan: Plan, fails: Fails) -> None:
    tried: set[Shape] = set()
    while True:
        shape = next((shape for shape in _simpler(plan.shape) if shape not in tried), None)
        if shape is None:
            return
        tried.add(shape)
        changed = _fitting(replace(plan, shape=shape))
        if changed.calls and fails(changed):
            plan = changed


def _simpler(shape: Shape) -> Iterator[Shape]:
    if shape.datacenters > 1:
        yield replace(shape, datacenters=shape.datacenters - 1)
    if shape.nodes > 1:
        yield replace(shape, nodes=shape.nodes - 1)
    if shape.clients > 1:
        yield replace(shape, clients=1)
    if shape.watchers:
        yield replace(shape, watchers=0)
    plain = Shape()
    for name in (
        "partitions",
        "calls_in_flight_max",
        "batch_max",
        "outbox_max",
        "entry_cache_mib",
        "whole_entry_bytes",
        "watch_log_max",
    ):
        if getattr(shape, name) != getattr(plain, name):
            yield replace(shape, **{name: getattr(plain, name)})


def _fitting(plan: Plan) -> Plan:
    """Leave out incidents and calls of removed nodes and data centers; assign calls of removed clients to others."""
    names = {f"{dc}-{number}" for dc in plan.datacenters for number in range(1, plan.shape.nodes + 1)}
    names |= {*plan.datacenters, ""}
    return replace(
        plan,
        incidents=tuple(i for i in plan.incidents if i.target in names and i.other in names),
        calls=tuple(
            replace(call, client=min(call.client, plan.shape.clients - 1))
            for call in plan.calls
            if call.datacenter in names
        ),
    )


def _fewer(items: Sequence[Any], still_fails: Callable[[Sequence[Any]], bool]) -> None:
    """Leave out as many items as possible, in smaller and smaller pieces."""
    size = max(1, len(items) // 2)
    while items:
        start = 0
        while start < len(items):
            left = [*items[:start], *items[start + size :]]
            if left and still_fails(left):
                items = left
            else:
                start += size
        if size == 1:
            return
        size = max(1, size // 2)

"""Free ports belong to one process, from the moment they are given out to its end."""

import subprocess
import sys

from crdtkv.local.ports import BLOCK, free_ports

_PROGRAM = f"from crdtkv.local.ports import free_ports; print(*free_ports({3 * BLOCK}), flush=True); input()"


def test_no_port_is_given_out_twice_though_nobody_listens_on_it() -> None:
    ports = free_ports(3 * BLOCK)
    assert len(set(ports)) == 3 * BLOCK
    assert set(ports).isdisjoint(free_ports(3 * BLOCK))


def test_processes_that_live_at_one_time_have_no_block_in_common() -> None:
    blocks = {port // BLOCK for port in free_ports(3 * BLOCK)}
    others = [
        subprocess.Popen([sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        for other in others:
            assert other.stdout is not None
            theirs = {int(port) // BLOCK for port in other.stdout.readline().split()}
            assert len(theirs) >= 3
            assert blocks.isdisjoint(theirs)
            blocks |= theirs
    finally:
        for other in others:
            other.communicate("\n")

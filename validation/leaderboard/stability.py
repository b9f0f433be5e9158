"""Whether other seeds rank alike: leaderboards of several seeds against each other.

The difference of two methods' scores in one seed, less that in another, may be as large as both
boards' errors make it. Two seeds have no runs and no events in common.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path

import click

from simbg.cli.console import run
from simbg.validation.leaderboard.ranking import SCHEMA, Rank, apart, limit

__all__ = ["Stability", "read_board", "stability"]


@dataclass(frozen=True)
class Stability:
    """What seeds say of each other.

    Parameters
    ----------
    n_differences : int
        Pairs of methods × pairs of seeds.
    swapped : int
        Of these, how many have the two methods in another order.
    beyond : int
        Of all, how many are larger than they may be: 4.6 % for right errors.
    largest : float
        Largest of all, as a part of what it may be.
    reversed : list of tuple of str
        Methods of which one is better in a seed and worse in another, by more than the errors:
        there should be none.
    """

    n_differences: int
    swapped: int
    beyond: int
    largest: float
    reversed: list


def stability(boards):
    """Hold boards, method → Rank, against each other; methods that all of them have."""
    methods = [name for name in boards[0] if all(name in board for board in boards)]
    sizes, swapped, against = [], 0, []
    for one, other in combinations(methods, 2):
        for a, b in combinations(boards, 2):
            before, after = (board[one].score - board[other].score for board in (a, b))
            allowed = limit(*(board[name] for board in (a, b) for name in (one, other)))
            sizes.append(abs(before - after) / allowed if allowed > 0 else 0.0)
            swapped += before * after < 0
        orders = {
            apart(board[one], board[other]) - apart(board[other], board[one]) for board in boards
        }
        if {1, -1} <= orders:
            against.append((one, other))
    beyond = sum(size > 1 for size in sizes)
    return Stability(len(sizes), swapped, beyond, max(sizes, default=0.0), against)


def read_board(path):
    """The ranks of a leaderboard.json: method → Rank."""
    record = json.loads(Path(path).read_text())
    if record.get("schema") != SCHEMA:
        raise ValueError(f"{path}: got schema {record.get('schema')}, expected {SCHEMA}")
    names = {field.name for field in fields(Rank)}
    words = {None: math.nan, "infinite": math.inf}
    return {
        row["method"]: Rank(
            **{
                key: words.get(value, value) if not isinstance(value, dict) else value
                for key, value in row.items()
                if key in names
            }
        )
        for row in record["ranking"]
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("boards", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
def main(boards):
    """Hold leaderboard.json files of several seeds against each other.

    Ends with 1 if a method is better than another in one and worse in another, by more than the
    errors.
    """
    if len(boards) < 2:
        raise ValueError(f"boards: got {len(boards)}, expected 2 or more")
    read = [read_board(path) for path in boards]
    for method in read[0]:
        places = [
            f"{board[method].label} ({board[method].text})" for board in read if method in board
        ]
        click.echo(f"{method:24s} {', '.join(places)}")
    found = stability(read)
    click.echo(
        f"{found.n_differences} differences of two methods between two seeds: {found.swapped} in "
        f"another order, {found.beyond} larger than the errors allow in 95.4 of 100, the largest "
        f"{found.largest:.2f} × that"
    )
    for one, other in found.reversed:
        click.echo(f"NOT stable: {one} and {other} are apart, now this way and now that")
    return 1 if found.reversed else 0


if __name__ == "__main__":
    run(main, "python -m simbg.validation.leaderboard.stability")()

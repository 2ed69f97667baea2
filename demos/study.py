"""A study from its videos to its numbers: analyze them in two processes, collect them, ask for events per minute.

    python demos/study.py VIDEOS [OUT]

`realtime-mer analyze VIDEOS --out results --jobs 2` and `realtime-mer collect results --out dataset` do the same.
Needs the extra [study].
"""

import sys
from functools import partial
from pathlib import Path

from realtime_mer import Config, MerError
from realtime_mer.batch.engine import in_processes
from realtime_mer.batch.listing import find
from realtime_mer.batch.recordings import Wanted, analyzing
from realtime_mer.study.collect import collect
from realtime_mer.study.rates import poisson_interval
from realtime_mer.study.results import Participants, read_participants, read_study

LEAST_S = 2.0  # s for which a face must have been watched; a real study asks for more


def main(videos: str, out: Path, jobs: int = 2) -> dict[str, tuple[int, float]]:
    """Prints a line per recording; returns its number of micro-expressions and the seconds watched."""
    results = out / "results"
    tools = partial(analyzing, Config(), Wanted(video=False))
    for done in in_processes(tools, find([videos], results), jobs):
        print(f"{done.task}: {done.error or 'analyzed'}, {done.seconds:.1f} s")
    table = Path(videos) / "participants.tsv"  # who is who, as BIDS has it
    who = read_participants(table) if table.is_file() else Participants()
    entries = list(read_study(results, who, LEAST_S))
    collect(entries, who, "a study", out / "dataset", print, signals=True)
    found = {}
    for entry in entries:
        if entry.excluded:
            print(f"{entry.name}: left out, {entry.excluded}")
            continue
        number, minutes = len(entry.confirmed), entry.watched_s / 60
        low, high = poisson_interval(number, minutes)
        print(f"{entry.name}: {number / minutes:.1f} a minute ({low:.1f} to {high:.1f})")
        found[entry.name] = number, entry.watched_s
    return found


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(*sys.argv[2:3] or ["study"]))
    except IndexError:
        sys.exit("name a folder of videos")
    except MerError as error:
        sys.exit(str(error))

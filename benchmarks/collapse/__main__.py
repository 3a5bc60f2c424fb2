"""The command: `python benchmarks/collapse`. What it does is told in `__init__.py`."""

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where this package and the benchmarks' common modules are

import collapse
from collapse.record import train
from collapse.replay import train_and_replay
from collapse.replay_report import report_replays
from collapse.report import report
from collapse.run import Training, configuration
from collapse.terms import VARIANTS


def main() -> None:
    """Parses and does what is asked for."""
    parser = argparse.ArgumentParser(description=collapse.__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    trains = commands.add_parser("train", help="train and record")
    trains.add_argument("--variant", choices=VARIANTS, nargs="+", default=["verbatim"])
    trains.add_argument("--seeds", type=int, nargs="+", default=[1])
    trains.add_argument("--steps", type=int, help="of each run (default: those of the preset)")
    trains.add_argument("--sharpness", action="store_true", help="measure the sharpness too, which takes longer")
    trains.add_argument("--out", type=Path, required=True, metavar="DIR")
    replays = commands.add_parser("replay", help="train unchanged, and go on otherwise from before each collapse")
    replays.add_argument("--seeds", type=int, nargs="+", default=[1])
    replays.add_argument("--until", type=float, default=math.inf, metavar="SECONDS", help="of a run, which then ends")
    replays.add_argument("--out", type=Path, required=True, metavar="DIR")
    reports = commands.add_parser("report", help="what the records in DIR say")
    reports.add_argument("directory", type=Path, metavar="DIR")
    reports.add_argument("--edge", type=Path, metavar="DIR2", help="records made with --sharpness")
    replay_reports = commands.add_parser("report-replays", help="what the replays in DIR say")
    replay_reports.add_argument("directory", type=Path, metavar="DIR")
    for command in (reports, replay_reports):
        command.add_argument("--machine", default="", help="in words, for the result's file")
        command.add_argument("--write", action="store_true", help="write JSON and pictures")
    args = parser.parse_args()
    if args.command == "report":
        report(args.directory, args.edge, args.machine, args.write)
        return
    if args.command == "report-replays":
        report_replays(args.directory, args.machine, args.write)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    if args.command == "replay":
        for seed in args.seeds:
            train_and_replay(Training(configuration("verbatim", seed, None)), args.out / f"seed{seed}.json", args.until)
        return
    for variant in args.variant:
        for seed in args.seeds:
            train(variant, seed, args.steps, args.out, args.sharpness)


if __name__ == "__main__":
    main()

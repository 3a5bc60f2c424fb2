"""Why the accuracy of a run collapses: the same training with one thing changed at a time, and what happens inside.

    python benchmarks/collapse train --variant verbatim --seeds 1 2 3 --out DIR   # records into DIR
    python benchmarks/collapse train --sharpness --seeds 1 --out DIR2             # with the edge of stability
    python benchmarks/collapse replay --seeds 1 --out DIR3                        # goes back and trains on otherwise
    python benchmarks/collapse report DIR [--edge DIR2] [--write]                 # tables, pictures, dated JSON
    python benchmarks/collapse report-replays DIR3 [--write]                      # the same of the replays

A *collapse*: exact match on the 500 validation problems was at least 0.99 at some evaluation (every 50 steps), and at a
later one it is below 0.9. It lasts until 0.99 is reached again.

terms.py      these numbers, and the variants         run.py            the training, with one thing changed
record.py     what `train` records                    report.py         what the records say
replay.py     what `replay` does                      replay_report.py  what the replays say
sharpness.py  the sharpness that AdamW sees
"""

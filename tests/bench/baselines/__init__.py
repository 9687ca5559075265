"""Published detectors run on the same models and probes as ours, to be compared with.

Each module holds one method after its paper and, where there is one, the authors' repository; what
neither settles for prompt-tuned CLIP is said there. `python -m tests.bench.baselines` runs them.
"""

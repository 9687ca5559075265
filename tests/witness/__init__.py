"""Witnesses: whatever a customer's loader gets out of a file, clipvet judged, or did not call clean.

Files are made as honest tools make them (:mod:`~tests.witness.shapes`), as attackers would
(:mod:`~tests.witness.attacks`), and by chance from both (:mod:`~tests.witness.mutations`). The loaders
themselves open them (:mod:`~tests.witness.customers`), in a sandboxed process because they run what
they load (:mod:`~tests.witness.cell`); clipvet reads them (:mod:`~tests.witness.judging`). What "other
tensors than those judged" means stands in one place, :mod:`~tests.witness.sameness`.
"""

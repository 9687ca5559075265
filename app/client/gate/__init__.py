"""The gate of a pipeline: send a file, wait, say what came out, exit by it.

``submission`` is the way through, ``outcome`` what came out as one list of remarks, and each other
module one form of telling it. Two command lines stand before it: ``clipvet submit`` and, where only
the client is installed, ``clipvet-gate``.
"""

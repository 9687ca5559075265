"""Repair of checkpoints whose encoders are changed: tuned whole, by low-rank matrices, or adapted.

Several strategies make a copy each (`case` says what they may draw on): the trusted encoders in
place of the delivered ones (`restore`), or the delivered ones cleaned on pairs of picture and
caption (`par`, `cleanclip`, `unlearning`, `contrastive`). What of a file may move is
`inspector.clip.moving`'s to say; `screen` reports what is odd about the pairs, and drops nothing.
"""

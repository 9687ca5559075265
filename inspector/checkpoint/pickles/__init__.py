"""Pickles: walked opcode by opcode, judged by the globals they name, made tensors by hand."""

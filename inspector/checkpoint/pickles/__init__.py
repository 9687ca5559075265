"""Pickles: walked opcode by opcode, judged by the globals they name, turned into tensors by hand."""

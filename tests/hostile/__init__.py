"""The hostile corpus: files made by code, and what the reader must say of each."""

"""Containers and file formats: each parsed strictly, each refusing what two readers could take differently."""

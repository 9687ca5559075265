"""Containers and file formats, parsed strictly: what two readers could take two ways is refused."""

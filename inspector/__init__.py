"""The inspection core: from the bytes of a checkpoint to a report.

Empty on purpose. Importing a torch-free part (``inspector.checkpoint``, ``inspector.findings``)
runs this file too, so nothing here may import the tensor stack.
"""

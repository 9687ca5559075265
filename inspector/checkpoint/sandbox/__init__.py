"""The cage that the reading child locks itself into before it touches a hostile byte.

:mod:`~inspector.checkpoint.sandbox.cage` puts the layers on, strongest first, each in a module of
its own; :mod:`~inspector.checkpoint.levels` says what they amount to together. What the
machine forbids is left out and named. Standard library and raw system calls only; Linux on x86-64
and AArch64 has all layers, other systems have rlimits and the audit hook.
"""

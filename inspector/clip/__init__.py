"""Frozen backbones, text prompts, and classifiers built from them: pixels in [0,1] to logits."""

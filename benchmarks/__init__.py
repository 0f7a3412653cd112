"""Measurements as ratios against the bare libraries, so that they mean the same on any machine. See `make bench`."""

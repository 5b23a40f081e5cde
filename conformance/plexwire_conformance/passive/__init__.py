"""Judging what others say to each other: live between them, from what a browser exported, from captured packets."""

"""Scores of video question grounding, from files, without torch: what anyone's predictions need."""

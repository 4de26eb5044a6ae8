"""Confounder dictionaries: question graphs, frame features, and their clusters."""

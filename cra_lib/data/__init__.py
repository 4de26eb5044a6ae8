"""Datasets: annotations in normal form, features, and the batches that training reads."""

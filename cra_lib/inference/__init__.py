"""A trained model at work: predictions for a split, answers for one video."""

"""Confounder dictionaries: question graphs, frame features, and their clusters.

`parsing` finds the parts of a question, `question_graphs` turns them into nodes and edges,
`clusters` groups rows by streaming k-means, and `sampling` does it all for one dataset.
"""

"""The network. One alphabet for shapes, the same in every file:

B batch, C candidates, L tokens, T frames, D model width, F frame-feature width, K confounders,
N texts.
"""

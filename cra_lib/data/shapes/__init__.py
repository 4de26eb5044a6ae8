"""The embedded dataset `shapes`: rendered videos with a known structural causal model.

world      what happens in a video: actors, scene, timed events, weather, and which caused which
habits     the two confounders: what kinds of actors and what places are asked about
questions  questions about a world, in NExT-QA's wording and types, with their evidence
render     one frame of a world as pixels
reference  what answerers that ignore the video, or time, can reach: computed, not trained
generate   the whole dataset on disk, in the normal form
"""

from cra_lib.data.shapes.generate import SIZES, generate
from cra_lib.data.shapes.habits import DEFAULT_BIAS, Bias

__all__ = ["DEFAULT_BIAS", "SIZES", "Bias", "generate"]

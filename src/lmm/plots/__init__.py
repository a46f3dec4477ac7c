"""
Pictures of fitted models and results, drawn with matplotlib.

Every function takes ``ax=`` (or ``axes=`` where it draws several panels), makes a figure of its own where none is
given, returns what it drew on, and neither shows nor saves anything.
"""

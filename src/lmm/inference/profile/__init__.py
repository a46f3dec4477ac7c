"""Profile likelihood: criteria with one quantity held, the curves of their minima, and confidence limits from them."""

from lmm.inference.profile.result import ProfileResult
from lmm.inference.profile.run import Curves, profile, profile_conf_int

__all__ = ["Curves", "ProfileResult", "profile", "profile_conf_int"]

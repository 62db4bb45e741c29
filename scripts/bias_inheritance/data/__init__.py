"""Where texts and questions come from: loaders, twins, survey, opinions, and the cues that show a group."""

"""Sources of texts and questions: loaders, counterfactual twins, survey and opinion data, and cues that show a group."""

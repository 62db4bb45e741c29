"""The report of a study: facts, figures, sections and the page."""

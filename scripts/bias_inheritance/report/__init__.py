"""The report of a study: numbers and the rows behind them, charts, words, and the page that holds them."""

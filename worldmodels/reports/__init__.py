"""Reading finished runs: tidy tables, groups of comparable runs, figures, and the page that shows them."""

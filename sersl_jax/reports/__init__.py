"""Pages and pictures of runs, comparisons and datasets; the numbers come from `evaluation`."""

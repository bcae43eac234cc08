"""Labels that come with unlabelled video (Sec. 3): arrays in, scores and classes out, no files."""

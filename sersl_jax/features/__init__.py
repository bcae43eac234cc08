"""Files to arrays: sound, acoustic features, face tracks."""

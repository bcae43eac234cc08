"""Two-second windows of talking faces with labels made from sound and face."""

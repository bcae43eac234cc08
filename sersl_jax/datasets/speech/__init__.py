"""Utterances with an emotion."""

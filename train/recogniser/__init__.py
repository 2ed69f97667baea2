"""Trains the shipped recogniser. Its parts serve that one command; general training is in the rooms beside."""

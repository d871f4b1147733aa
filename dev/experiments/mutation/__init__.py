"""Mutation testing: each small change of the code has to be noticed by a test, or to be explained."""

"""Outer approximation with an interchangeable MIP solver."""

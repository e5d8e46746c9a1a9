"""Adapters, one file a kind: how one published or own layout of films becomes records. ``ls`` is the catalogue.

Files that start with an underscore are shared by adapters and are none themselves.
"""

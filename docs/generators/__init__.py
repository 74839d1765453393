"""Writes what the pages repeat of the code: `python -m docs.generators` brings every page up to date.

A page says where with a pair of comments, and all between them is replaced:

    <!-- generated: settings Health -->
    <!-- end -->
"""

"""Review: pages served on this machine alone, live over the tables, on which people correct the tags.

live: the catalogue in memory, following new views and corrections. verdicts: what a person says, checked, kept and
undone. worth: which tags are most worth a look. teaching: learn, compare, tag again; work: what goes on meanwhile.
candidates: pictures to mark with a tag of one's own. guard: who may ask. app: the addresses. pages:
what pages are made of that are not the report's. serve: the server.
"""

"""What people look at, made from the tables of results alone: pages, the catalogue, a film in a few pictures."""

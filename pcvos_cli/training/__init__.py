"""Training from the command line: recipes, the folder of a run, what a run shows and leaves."""

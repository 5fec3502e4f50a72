"""Finding time: when the people, groups and rooms of a request are free together, and what stands in the way."""

"""Pre-training on radiographs across data sets, tasks and body parts."""

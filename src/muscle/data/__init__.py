"""From files to batches: sources, decoding, the store, splits, augmentation."""

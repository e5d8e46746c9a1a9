"""What scan, check, histogram and the harmonizing steps must not get wrong: a mistake each, and the test that notices.

Name, file in src/muscle, text, what replaces it, test. ``tests/break_it.py look`` replays them.
"""

from __future__ import annotations

Look = tuple[str, str, str, str, str]


def _of(name: str, *looks: tuple[str, str, str, str, str]) -> tuple[Look, ...]:
    """Those of one test file: name, file, text, replacement, test."""
    return tuple(
        (f"{name}: {what}", f"data/{file}", old, new, f"data/test_{name}.py::test_{test}")
        for what, file, old, new, test in looks
    )


LOOKS: tuple[Look, ...] = (
    *_of(
        "harmonize",
        ("other percentiles", "harmonize.py", "(self.low, self.high))", "(self.low, 99.9))", "percentile_is_numpys"),
        ("the second cut forgets the first", "harmonize.py", "left, top = left + x, top + y", "left, top = left, top",
         "margins_of_any_grey_are_cut"),
        ("one frame only", "harmonize.py", "range(8)", "range(1)",
         "a_frame_within_a_frame_goes_too_and_a_film_without_margins_stays"),
        ("any shape is a disc", "harmonize.py", "common < 0.95", "common < 0.1",
         "a_disc_is_found_and_what_is_outside_becomes_black"),
        ("boxes stay where they were", "film.py", "(x - self.crop.x0)", "(x)", "masks_boxes_and_points_follow_the_cut"),
        ("a mask of half the size is cut in image pixels", "film.py", "round(crop.x0 * across)", "crop.x0",
         "a_mask_of_half_the_size_follows_the_cut_too"),
    ),
    *_of(
        "histogram",
        ("pixels are not counted", "histogram.py", "counts[used] / counts.sum()", "np.ones(used.sum()) / used.sum()",
         "numbers_of_all_pixels"),
        ("stored is decoded", "histogram.py", "for settings in (_STORED, decode)", "for settings in (decode, decode)",
         "stored_is_not_harmonized_and_decoded_is"),
        ("no mean of the source", "histogram.py", "np.full(n, whole.mean, np.float32)", "np.full(n, 0, np.float32)",
         "each_normalization_by_hand"),
        ("any deviation will do", "histogram.py", "if not LOW_SD <= sd <= HIGH_SD", "if sd < 0",
         "an_input_far_from_deviation_1_is_explained"),
    ),
    *_of(
        "scan",
        ("a folder is as its first picture", "scan.py", "if all(said.values()):", "if True:",
         "grey_films_in_colour_channels_stay_and_a_folder_of_photographs_goes"),
        ("a film in a folder of masks is one", "headers.py", "levels <= _MASK_LEVELS", "levels <= 800",
         "a_mixed_folder_is_counted_and_every_odd_file_named"),
        ("good films are excluded with bad", "layouts.py", "if parent not in kept", "if True",
         "the_proposed_data_file_loads_and_leaves_the_odd_files_out"),
        ("any films are those of the masks", "mask_folders.py", "all(_bare(mask", "any(_bare(mask",
         "masks_alone_are_answered_with_the_folder_above"),
        ("any number gives a patient away", "headers.py", "if len(value) > 3 and value in path",
         "if len(value) > 1 and value in path", "what_names_give_away_is_said_and_not_repeated"),
    ),
    *_of(
        "columns",
        ("a shared name names a film", "columns.py", 'known[name] = film.path if alone else ""',
         "known[name] = film.path", "names_that_several_films_share_are_told_apart_by_their_folders"),
        ("few cells make a join", "columns.py", "if share < 0.5 or", "if",
         "what_names_no_film_and_what_has_no_header"),
    ),
    *_of(
        "check",
        ("nothing is unused", "check.py", "if file not in used", "if False and file not in used",
         "missing_torn_and_unused_files"),
        ("the neighbour's files are unused", "check.py", "not any(o in file.parents for o in others)", "True",
         "files_of_a_neighbouring_source_are_no_extra_files"),
        ("a subset count by count", "check.py", "and not subset", "and wanted",
         "of_a_subset_only_what_is_too_many_is_said_beside_it"),
        ("a renamed target has no published count", "check.py", "renamed.get(word, word) if i == 0 else word", "word",
         "other_counts_than_published_are_warnings_under_any_name"),
        ("unknown contradicts", "disagreements.py", "if not math.isnan(a) and not math.isnan(b)", "if True",
         "unknown_contradicts_nothing"),
        ("films without a patient are one person", "disagreements.py", "sample.patient != sample.id", "False",
         "persons_in_two_published_parts"),
        ("scaled masks are refused", "faults.py", "found != size and not truth.scaled", "found != size",
         "masks_of_another_size_or_level_and_empty_ones"),
        ("boxes may reach far out", "faults.py", "x1 > width + SLACK", "x1 > width + 9",
         "a_wrong_truth_is_an_error_of_its_film"),
    ),
)  # fmt: skip

"""The traps of the public sets: each with what takes its handling away and the test that must notice.

Name, file in src/muscle, text, what replaces it, test. ``tests/break_it.py trap`` replays them.
"""

from __future__ import annotations

SETS = "datasets/"
Trap = tuple[str, str, str, str, str]


def _of(kind: str, *traps: tuple[str, str, str, str]) -> tuple[Trap, ...]:
    """The traps of one adapter: name, text, replacement, test."""
    return tuple(
        (f"{kind}: {name}", f"{SETS}{kind}.py", old, new, f"{SETS}test_{kind}.py::test_{test}")
        for name, old, new, test in traps
    )


TRAPS: tuple[Trap, ...] = (
    *_of(
        "tbx11k",
        (
            "boxes in the original resolution", "mine.append((x, y, x + width, y + height,",
            "mine.append((16 * x, 16 * y, 16 * (x + width), 16 * (y + height),",
            "boxes_are_those_of_the_json_not_of_the_xml",
        ),
        (
            "extra/ is read", '_FOLDERS[path.partition("/")[0]]', '_FOLDERS.get(path.partition("/")[0], "sick")',
            "extra_test_and_the_lists_of_all_are_never_read",
        ),
        (
            "the list of all is read", '{"TBX11K_train.json": "train"', '{"all_train.json": "train"',
            "extra_test_and_the_lists_of_all_are_never_read",
        ),
        (
            "unknown activity counts as active", '"PulmonaryTuberculosis": 0}', '"PulmonaryTuberculosis": 1}',
            "a_box_of_unknown_activity_leaves_the_film_unknown",
        ),
        (
            "tuberculosis without box counts as none", 'if (boxes or word != "tuberculosis") and all', "if all",
            "looked_at_and_not_boxed_are_told_apart",
        ),
        (
            "healthy films without truth", 'if (boxes or word != "tuberculosis") and', "if boxes and",
            "looked_at_and_not_boxed_are_told_apart",
        ),
        (
            "mirror: a row hides the row before", 'films.setdefault(path, (_TYPES[row["image_type"]], part, []))',
            'films.__setitem__(path, (_TYPES[row["image_type"]], part, [])) or films[path]',
            "the_simplified_mirror_says_the_same",
        ),
        (
            "mirror: sizes taken for corners", "return x, y, x + width, y + height, label",
            "return x, y, width, height, label", "the_simplified_mirror_says_the_same",
        ),
    ),
    *_of(
        "rsna_pneumonia",
        (
            "sizes taken for corners", "mine.append((x, y, x + width, y + height))",
            "mine.append((x, y, width, height))", "rows_of_one_film_are_its_boxes_with_corners",
        ),
        (
            "a row hides the row before", 'mine = found.setdefault(row["patientId"], [])',
            'mine = found[row["patientId"]] = []', "rows_of_one_film_are_its_boxes_with_corners",
        ),
        (
            "blank boxes", 'if row["Target"] == "1":', "if True:", "rows_of_one_film_are_its_boxes_with_corners",
        ),
        (
            "a film's id taken for a person's", "people = _people(root / _MAPPING)", "people: dict[str, str] = {}",
            "a_patient_id_is_a_film_until_the_mapping_says_the_person",
        ),
        (
            "the test part counts as negative", "if key in boxes:", "if boxes.setdefault(key, []) is not None:",
            "the_test_part_and_films_without_row_are_unknown",
        ),
        ("films not compressed", "jpeg=True", "jpeg=False", "the_example_is_compressed_and_boxed_as_drawn"),
    ),
    *_of(
        "siim_acr",
        (
            "runs not relative to the last", "at += skip + length", "at += skip",
            "runs_are_relative_to_the_last_and_rows_add_up",
        ),
        (
            "a row hides the row before", 'mine = found.setdefault(row["ImageId"], [])',
            'mine = found[row["ImageId"]] = []', "runs_are_relative_to_the_last_and_rows_add_up",
        ),
        (
            "-1 taken for a run", 'if row["EncodedPixels"] != "-1":', "if True:",
            "minus_one_is_an_empty_mask_and_no_row_is_unknown",
        ),
        (
            "films without row count as negative", "if key in outlines:",
            "if outlines.setdefault(key, []) is not None:", "minus_one_is_an_empty_mask_and_no_row_is_unknown",
        ),
        (
            "a copied film counts twice", "films.setdefault(PurePosixPath(path).stem, path)",
            'films[PurePosixPath(path).stem + " " * len(films)] = path', "films_lie_under_their_uids_and_count_once",
        ),
        (
            "the test part in training", 'split="test" if test else "train"', 'split="train"',
            "films_lie_under_their_uids_and_count_once",
        ),
    ),
    (
        "siim_acr: runs along the rows", "data/film.py", "flat.reshape(width, height).T",
        "flat.reshape(height, width)", f"{SETS}test_siim_acr.py::test_the_mask_lies_on_the_film",
    ),
    (
        "siim_acr: a column's name begins with a space", "data/tables.py",
        "[cell.strip() for cell in cells]", "list(cells)",
        f"{SETS}test_siim_acr.py::test_runs_are_relative_to_the_last_and_rows_add_up",
    ),
    *_of(
        "vindr_cxr",
        (
            "one reader decides", '0.5 * len(said) if self.readers == "majority" else 0.0', "0.0",
            "the_majority_of_readers_decides_or_any",
        ),
        (
            "who found nothing has no vote",
            '        mine = seen.setdefault(row["image_id"], {})',
            '        if row["class_name"] == "No finding":\n            continue\n'
            '        mine = seen.setdefault(row["image_id"], {})',
            "who_found_nothing_has_a_vote_and_no_box",
        ),
        (
            "copies as PNG", 'if Path(file).suffix.lower() not in (".dicom", ".dcm"):', "if False:",
            "only_dicom_is_read_and_kaggles_test_part_is_unknown",
        ),
        (
            "a class called differently in the test part", 'or known.get(word.lower().removesuffix("s"))', "",
            "one_class_has_two_names_and_a_blank_is_unknown",
        ),
        (
            "blank taken for absent", "number(cell, where) if cell else math.nan",
            "number(cell, where) if cell else 0.0", "one_class_has_two_names_and_a_blank_is_unknown",
        ),
    ),
    *_of(
        "covid_images",
        (
            "CT among the films", 'row["modality"].lower() != "x-ray" or', "",
            "ct_is_left_out_and_a_person_has_several_films",
        ),
        (
            "volumes among the films", 'or row["folder"] != "images"', "",
            "ct_is_left_out_and_a_person_has_several_films",
        ),
        (
            "each film a person", 'patient=f"covid_images:{who}" if who else', "patient=",
            "ct_is_left_out_and_a_person_has_several_films",
        ),
        ("todo taken for a finding", "if cell.lower() in _OPEN:", "if not cell:", "what_nobody_has_said_is_unknown"),
        (
            "an old finding without its path", "return 0.0 if whole else math.nan", "return 0.0",
            "a_finding_is_a_path_of_which_old_tables_have_the_end",
        ),
        (
            "a germ that was not said", "return math.nan if bare else 0.0", "return 0.0",
            "a_finding_is_a_path_of_which_old_tables_have_the_end",
        ),
    ),
    *_of(
        "covid_radiography",
        (
            "masks among the films", 'for file in images(root / word / "images"):', "for file in images(root / word):",
            "masks_are_no_films_though_they_are_called_alike",
        ),
        ("masks of another size", ", scaled=True)", ")", "a_mask_of_another_size_lies_on_its_film"),
        (
            "suffixes in mixed case", "masks.get(Path(file).name.lower())", "masks.get(Path(file).name)",
            "masks_are_no_films_though_they_are_called_alike",
        ),
    ),
    *_of(
        "qata_cov19",
        (
            "masks have a prefix", 'f"mask_{PurePosixPath(file).name}"', "PurePosixPath(file).name",
            "the_mask_has_the_name_of_its_film_with_a_prefix",
        ),
        (
            "equal names in both parts", "{part}/{Path(file).stem}", "{Path(file).stem}",
            "equal_names_in_both_parts_are_two_persons",
        ),
    ),
    *_of(
        "jsrt",
        ("millimetres taken for pixels", "size / _SPACING / 2", "size / 2", "a_nodule_is_a_square_of_its_size"),
        (
            "lines run together", "match.start() for match in _FILM.finditer(text)",
            'm.start() for m in re.finditer(r"(?m)^JPCLN", text)',
            "lines_end_as_they_like_and_there_is_no_header",
        ),
        ("one fold of two", "if _is_mask(f)", 'if _is_mask(f) and "fold1" in f', "both_folds_and_both_sides_are_read"),
        ("one lung of two", "if len(mine) == len(folders)", "if mine", "both_folds_and_both_sides_are_read"),
        ("masks of half the size", ", scaled=True)", ")", "films_and_masks_are_as_drawn"),
        ("levels of a palette", "((255, 1), (1, 1))", "((255, 1),)", "films_and_masks_are_as_drawn"),
        ("suffixes in mixed case", ", re.IGNORECASE)", ")", "without_the_table_the_name_still_tells"),
    ),
    (
        "jsrt: white is zero", "data/raw_img.py", "255 - to_bytes(values, low, high)", "to_bytes(values, low, high)",
        f"{SETS}test_jsrt.py::test_films_and_masks_are_as_drawn",
    ),
    (
        "jsrt: the low byte first", "data/raw_img.py", '">u2").reshape', '"<u2").reshape',
        f"{SETS}test_jsrt.py::test_films_and_masks_are_as_drawn",
    ),
)  # fmt: skip

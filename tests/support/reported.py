"""What a report must not get wrong: a mistake each, and the test that notices.

Name, file in src/muscle, text, what replaces it, test. ``tests/break_it.py report`` replays them.
"""

from __future__ import annotations

from looks import Look

D, Q = "report/test_differences.py::test_", "report/test_quality.py::test_"
REPORTED: tuple[Look, ...] = (
    ("p without Holm", "report/differences.py", "adjusted = holm(", "adjusted = list(",
     f"{D}each_difference_is_that_of_the_means_over_seeds_and_p_is_holms"),
    ("one seed for all", "report/differences.py", "for cell in cells:", "for cell in cells[:1]:",
     f"{D}each_difference_is_that_of_the_means_over_seeds_and_p_is_holms"),
    ("the wrong way round", "report/differences.py", "difference(self.score, a, b)", "difference(self.score, b, a)",
     f"{D}the_sentences_are_the_fixed_ones"),
    ("the sentence goes by the raw p", "report/differences.py", "self.task, self.p)", "self.task)",
     f"{D}the_sentence_goes_by_holms_p"),
    ("a number beside too few cases", "report/differences.py", "if not f.reliable:", "if False:",
     f"{D}the_sentences_are_the_fixed_ones"),
    ("other cases are compared", "report/differences.py", "if of != other:", "if False:",
     f"{D}models_that_saw_other_cases_are_not_compared"),
    ("a claim stands twice", "report/differences.py", " and b != baseline != a", "",
     f"{D}a_claim_that_is_also_a_baselines_row_stands_once"),
    ("names are orders", "report/latex.py", '"_": r"\\_"', '"_": "_"',
     "report/test_latex.py::test_no_name_is_an_order"),
    ("drawings are quoted beside", "report/quoted.py", 'if results["synthetic"]:', "if False:",
     "report/test_quoted.py::test_films_of_ones_own_and_drawings_have_none"),
    ("a mixed target is quoted beside", "report/quoted.py", "kinds.get(q.target) == {q.source}",
     "q.source in kinds.get(q.target, ())", "report/test_quoted.py::test_films_of_ones_own_and_drawings_have_none"),
    ("outlines join all", "report/regions.py", "thick if thick.any() else differs", "differs",
     "report/test_regions.py::test_an_outline_that_is_a_pixel_off_does_not_join_all"),
    ("one that strays is a region", "report/regions.py", "strays > strays.max() / 2", "strays > 0",
     "report/test_regions.py::test_of_many_models_one_that_strays_is_no_region_where_more_do"),
    ("of three classes each is a decision", "report/quality.py", "if p.exclusive and said", "if False and said",
     f"{Q}what_is_decided_is_as_in_ece"),
    ("films of a task for persons", "report/checklist.py", "most['clusters']", "most['n']",
     "report/test_checklist.py::test_each_topic_says_what_the_run_says"),
    ("leaks are not told", "report/checklist.py", 'k == "leaks allowed"', 'k == "no"',
     "report/test_checklist.py::test_each_topic_says_what_the_run_says"),
    ("a recipe that leaves a task out stands at equal compute", "report/compute.py",
     "key=lambda g: abs(sum(_seen(g)) - goal)", "key=lambda g: -_seen(g)[0]",
     "report/test_compute.py::test_a_recipe_that_leaves_a_task_out_bears_its_pre_training_alone_and_is_no_row_here"),
    ("two hyphens are a dash", "report/latex.py", '"-{}" if line[i : i + 2] == "--" else ', "",
     "report/test_latex.py::test_two_hyphens_stay_two_and_a_star_is_no_part_of_the_order_before_it"),
    ("two rows of one title", "report/scores.py", "if len(found) > 1}", "if False}",
     f"{D}recipes_of_one_title_that_share_no_task_are_one_row"),
    ("scores of other films are replaced", "external.py",
     'if not cell.get("external") or cell.get("data") != corpus.digest:', "if False:",
     "test_external.py::test_scores_of_other_films_are_neither_replaced_nor_beside"),
    ("the interval of one class is that of all", "statistics/influence.py",
     'if ":" in name else range(truth.shape[1])', "if False else range(truth.shape[1])",
     "statistics/test_influence.py::test_the_score_of_one_class_is_as_sure_as_that_class_alone"),
)  # fmt: skip

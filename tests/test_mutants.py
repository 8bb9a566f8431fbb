"""The table of mutants fits the package as it stands; `make mutants` runs it."""

import pytest
from mutants import LEAST, MUTANTS, ROOT, Mutant, source


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_changes_one_line_and_has_someone_to_notice(mutant):
    """The old line occurs once, the new one differs, and every target exists."""
    _, text = source(mutant)
    assert text.replace(mutant.old, mutant.new) != text
    assert mutant.targets
    assert all((ROOT / target.partition("::")[0]).is_file() for target in mutant.targets)


def test_mutants_are_many_and_named_once():
    """At least 25, and 15 for lessons to notice, so that no corner of the package is left out."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25
    assert sum(mutant.targets[0].endswith(".ipynb") for mutant in MUTANTS) >= LEAST == 15


def test_source_names_a_line_that_is_gone():
    """A table that no longer fits is a sentence, not a mutant that survives."""
    with pytest.raises(SystemExit, match=r"occurs 0 times in losses\.py"):
        source(Mutant("gone", "losses.py", "no such line", "x", ("tests/test_losses.py",)))

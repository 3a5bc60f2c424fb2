"""The cases of the operations are found where their mutants are."""

import pkgutil

import pytest

from tinygrad_arith.gradcheck_suite import cases, mutants


def test_an_operation_has_its_cases_and_its_mutants_in_files_of_one_name():
    def operations(package, table):
        files = {info.name for info in pkgutil.iter_modules(package.__path__)} - {"case", "common"}
        return {name: set(getattr(getattr(package, name), table)) for name in files}

    assert operations(cases, "CASES") == operations(mutants, "MUTANTS")


def test_an_operation_without_cases_is_named():
    with pytest.raises(KeyError, match=r"no cases for the operation 'sofmax'; there are cases for embedding, linear"):
        cases.cases("sofmax")
    assert cases.cases("dropout") == ()

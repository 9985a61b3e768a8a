.PHONY: style quality test docs

# Rewrite the sources in the project's style.
style:
	ruff check --fix .
	ruff format .

# Check the style without changing anything.
quality:
	ruff check .
	ruff format --check .

# The manual, as a site in build/docs.
docs:
	python -m sphinx -W --keep-going -q docs build/docs

# Everything, offline, a file of tests at a time on each core; `make test args="-m 'not slow'"` for the quick part.
test:
	python -m pytest -n auto --maxprocesses 4 --dist loadfile $(args)

.PHONY: style quality test

sources := src tests examples setup.py

# Rewrite the sources in the project's style.
style:
	ruff check --fix $(sources)
	ruff format $(sources)

# Check the style without changing anything.
quality:
	ruff check $(sources)
	ruff format --check $(sources)

# Everything, offline; `make test args="-m 'not slow'"` for the quick part.
test:
	python -m pytest $(args)

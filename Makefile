.PHONY: style quality test

# Rewrite the sources in the project's style.
style:
	ruff check --fix .
	ruff format .

# Check the style without changing anything.
quality:
	ruff check .
	ruff format --check .

# Everything, offline; `make test args="-m 'not slow'"` for the quick part.
test:
	python -m pytest $(args)

# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What PyPI and the users of a release see. `.ci/package` builds and checks the files themselves."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
import setuptools
import yaml


ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="the package is tested without its sources")


@pytest.fixture
def metadata(monkeypatch):
    """What `setup.py` hands to setuptools."""

    def read(**environment: str) -> dict:
        captured = {}
        for name in ("STYLEVAR_REPOSITORY", "GITHUB_REPOSITORY", "GITHUB_SERVER_URL", "GITHUB_REF"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(setuptools, "setup", captured.update)
        runpy.run_path(str(ROOT / "setup.py"))
        return captured

    return read


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)


class TestDescription:
    def test_links_lead_to_the_repository_where_it_is_known(self, metadata):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        relative = [link for link in links(readme) if not link.startswith(("http", "#"))]
        found = metadata(GITHUB_SERVER_URL="https://github.com", GITHUB_REPOSITORY="someone/stylevar-hf")
        absolute = links(found["long_description"])
        assert relative and not [link for link in absolute if not link.startswith(("http", "#"))]
        for link in relative:
            expected = [f"https://github.com/someone/stylevar-hf/{kind}/main/{link}" for kind in ("raw", "blob")]
            assert set(expected) & set(absolute)
        assert found["project_urls"]["Issues"] == "https://github.com/someone/stylevar-hf/issues"

    def test_pictures_are_linked_raw_and_of_the_release(self, metadata):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        found = metadata(STYLEVAR_REPOSITORY="https://example.org/x", GITHUB_REF="refs/tags/v1")
        pictures = re.findall(r"!\[[^\]]*\]\(([^)\s]+)|<img[^>]*src=\"([^\"]+)\"", found["long_description"])
        assert len(pictures) == len(re.findall(r"!\[[^\]]*\]\(|<img", readme))
        start = f"https://example.org/x/raw/v{found['version']}/"
        assert all("".join(one).startswith(start) for one in pictures)

    def test_nothing_is_changed_where_it_is_not(self, metadata):
        assert metadata()["long_description"] == (ROOT / "README.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("link", links((ROOT / "README.md").read_text(encoding="utf-8")))
    def test_relative_link_leads_to_a_file(self, link):
        if not link.startswith(("http", "#")):
            assert (ROOT / link.split("#")[0]).exists()


class TestScripts:
    """`uv run examples/...` and `hf jobs uv run` read what a script needs from its header (PEP 723)."""

    @pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda script: script.name)
    def test_header_names_extras_that_there_are(self, script, metadata):
        text = script.read_text(encoding="utf-8")
        header = re.search(r"^# /// script\n((?:#.*\n)+?)# ///$", text, re.MULTILINE)
        fields = tomllib.loads(re.sub(r"^# ?", "", header[1], flags=re.MULTILINE))
        setup = metadata()
        assert fields["requires-python"] == setup["python_requires"]
        ours = [re.fullmatch(r"stylevar-hf\[(\w+)\]", one) for one in fields["dependencies"]]
        assert ours[0][1] in setup["extras_require"]


class TestRepositoryFiles:
    @pytest.mark.parametrize(
        "file", [*sorted((ROOT / ".github").rglob("*.yml")), ROOT / "CITATION.cff"], ids=lambda file: file.name
    )
    def test_is_yaml(self, file):
        assert yaml.safe_load(file.read_text(encoding="utf-8"))

    def test_workflows_run_scripts_that_are_there(self):
        for file in (ROOT / ".github" / "workflows").glob("*.yml"):
            for script in re.findall(r"run: (\.ci/\w+)", file.read_text(encoding="utf-8")):
                assert (ROOT / script).stat().st_mode & 0o111

    def test_every_extra_is_in_all(self, metadata):
        extras = metadata()["extras_require"]
        assert set(extras["all"]) == {requirement for name in extras if name != "all" for requirement in extras[name]}

    def test_python_versions_of_the_classifiers_are_those_of_the_workflows(self, metadata):
        classifiers = metadata()["classifiers"]
        versions = {match[1] for one in classifiers if (match := re.search(r"Python :: (3\.\d+)", one))}
        gate = yaml.safe_load((ROOT / ".github" / "workflows" / "gate.yml").read_text(encoding="utf-8"))
        assert versions == {"3.11", *gate["jobs"]["quick"]["strategy"]["matrix"]["python"]}

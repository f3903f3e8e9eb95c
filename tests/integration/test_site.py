"""The documentation site: its pages, its links, and the project's own files beside it."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
LINKING = [*PAGES, *ROOT.glob("*.md")]


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_its_heading(page: Path) -> None:
    """Links work where the page lies; those of `docs/` stay inside it, since the site holds nothing else."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), target
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), target
        if page.parent.name == "docs":
            assert place.parent == ROOT / "docs", f"{target}: not a page of the site"


def test_the_site_has_every_page_and_loads_nothing_from_elsewhere() -> None:
    """A page that is not in `nav` is a page nobody finds; fonts and scripts come with the site."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert sorted(re.findall(r"[\w-]+\.md", str(site["nav"]))) == [page.name for page in PAGES]
    assert site["strict"] is True
    assert site["theme"]["font"] is False
    # Material's plugin `offline` adds a script of a CDN to each page.
    assert "offline" not in site["plugins"]


def test_the_architecture_names_files_that_exist() -> None:
    """Each walk passes files of the tree."""
    text = (ROOT / "docs/architecture.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:harness|workloads|conf|tests)/[\w/.]*)`", text)
    assert len(paths) > 40
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_library_page_names_what_can_be_imported() -> None:
    """`:::` is followed by a public name."""
    for dotted in re.findall(r"^::: ([\w.]+)$", (ROOT / "docs/library.md").read_text(), re.MULTILINE):
        module, _, name = dotted.rpartition(".")
        found = __import__(module, fromlist=[name])
        assert hasattr(found, name), dotted
        assert name in getattr(found, "__all__", [name]), dotted


def test_the_projects_own_files_are_whole() -> None:
    """Issue forms have what GitHub asks of them; the citation and the package have one version."""
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        data = yaml.safe_load(form.read_text())
        if form.name != "config.yml":
            assert data["name"]
            assert data["description"]
            assert all(part["type"] and part["attributes"]["label"] for part in data["body"])
            assert len({part["id"] for part in data["body"]}) == len(data["body"])
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    assert all(update["cooldown"]["default-days"] >= 7 for update in updates)

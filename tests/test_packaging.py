"""What an installed hyperhive consists of."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
#: Folders whose every file belongs into the wheel.
SHIPPED = ("hyperhive", "twisted/plugins")
LEFT_OUT = ("__pycache__", ".mypy_cache", "dropin.cache")


class WheelTests(SynchronousTestCase):
    """The wheel, built from a copy of the tree without any network."""

    def build(self) -> set[str]:
        """The names in the wheel."""
        copy = Path(self.mktemp()).absolute()
        ignore = shutil.ignore_patterns(*LEFT_OUT)
        for name in SHIPPED:
            shutil.copytree(ROOT / name, copy / name, ignore=ignore)
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index"),
                *("--no-deps", "--no-build-isolation", "--wheel-dir", "out", "."),
            ],
            cwd=copy,
            check=True,
            capture_output=True,
        )
        [wheel] = (copy / "out").iterdir()
        with zipfile.ZipFile(wheel) as archive:
            return set(archive.namelist())

    def test_everything_is_in_it(self) -> None:
        """Templates, static files, prompts and the plugin; and no tests."""
        built = self.build()
        expected = {
            str(path.relative_to(ROOT))
            for name in SHIPPED
            for path in (ROOT / name).rglob("*")
            if path.is_file() and not set(path.parts) & set(LEFT_OUT)
        }
        self.assertEqual(expected - built, set())
        self.assertIn("hyperhive/web/templates/dashboard.html", built)
        self.assertIn("twisted/plugins/hyperhive_plugin.py", built)
        self.assertEqual([one for one in built if one.startswith("tests")], [])
        # An __init__.py there would hide Twisted's own plugins.
        self.assertNotIn("twisted/__init__.py", built)
        self.assertNotIn("twisted/plugins/__init__.py", built)

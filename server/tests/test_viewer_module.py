"""The viewer module as files: its size, what is generated in it, its types, and the package that npm makes of it."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from chromium import not_here

from plexwire_protocol import __version__

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "server/plexwire_server/page"
MODULE = (PAGE / "viewer.js").read_text("utf-8")
TYPES = (PAGE / "viewer.d.ts").read_text("utf-8")


def test_viewer_module_is_small_and_imports_nothing() -> None:
    assert len(MODULE.encode()) <= 10_000
    assert "import" not in MODULE


def test_generated_parts_say_what_core_and_schemas_say() -> None:
    tool = ROOT / "tools/viewer_module.py"
    done = subprocess.run(
        [sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_types_name_every_export_and_every_option() -> None:
    exports = re.findall(r"^export (?:const|function) (\w+)", MODULE, re.MULTILINE)
    declared = re.findall(r"^export (?:const|function) (\w+)", TYPES, re.MULTILINE)
    assert sorted(declared) == sorted(exports)
    options = re.search(
        r"^export interface WatchOptions \{(.*?)^\}", TYPES, re.MULTILINE | re.DOTALL
    )
    assert options is not None
    callbacks = {*re.findall(r"^  (on\w+)\?\(", options[1], re.MULTILINE)}
    used = {*re.findall(r'tell\("(\w+)"', MODULE), *re.findall(r"options\.(on\w+)", MODULE)}
    assert callbacks == used
    messages = re.findall(r'^  type: "(\w+)";$', TYPES, re.MULTILINE)
    assert [kind for kind in messages if f'"{kind}"' not in MODULE] == []


def test_npm_makes_a_package_of_the_viewer_module(tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        not_here("npm is not installed")
    command = [npm, "pack", str(PAGE), "--offline", "--silent", "--pack-destination", str(tmp_path)]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=60)
    [archive] = tmp_path.glob("*.tgz")
    assert archive.name == f"plexwire-viewer-{__version__}.tgz"
    with tarfile.open(archive) as packed:
        assert sorted(packed.getnames()) == [
            "package/package.json",
            "package/viewer.d.ts",
            "package/viewer.js",
        ]
    # Node resolves it as an application's bundler does.
    install = [npm, "install", "--offline", "--silent", "--no-audit", str(archive)]
    subprocess.run(install, check=True, cwd=tmp_path, timeout=60)
    script = 'import * as m from "plexwire-viewer"; console.log(JSON.stringify(Object.keys(m)))'
    done = subprocess.run(
        [node, "--input-type=module", "-e", script],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert "watch" in json.loads(done.stdout)

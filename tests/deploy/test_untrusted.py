"""What a manager can put into a proposed repo, and that it does nothing on the host.

What a repo makes git run would leave a mark on the host, where no sandbox reaches; and
each such repo is shown to do so where a git of the host is let loose on it.
"""

import hashlib
import os
import struct
import subprocess
import zlib
from typing import Any

from twisted.internet import reactor

from hyperhive.containers.interfaces import Command
from hyperhive.deploy import fetch
from hyperhive.deploy.fetch import ContainerGit, FetchFailed, UnknownCommit
from hyperhive.deploy.repos import NotOnMain, Repos
from hyperhive.deploy.trees import MAX_FILE, MAX_FILES, TooMuch, UnfitCommit
from hyperhive.errors import TooLarge
from tests.deploy.stage import ENTRY, TEMPLATE, Stage, git

#: Every hook of a work tree, and those that the receiving side of a copy has.
HOOKS = (
    *("pre-commit", "post-commit", "post-checkout", "reference-transaction"),
    *("post-index-change", "pre-auto-gc", "post-rewrite", "update", "post-update"),
    *("pre-receive", "post-receive", "proc-receive", "fsmonitor-watchman"),
)


def shell(script: str) -> str:
    """Run a script on the host."""
    return subprocess.run(
        ["sh", "-ec", script], check=True, capture_output=True, text=True
    ).stdout.strip()


class ProgramTests(Stage):
    """Repos that name programs to run."""

    async def prepare(self) -> None:
        await super().prepare()
        self.mark = self.base / "mark"
        self.program = self.home / "program"
        self.program.write_text(f"#!/bin/sh\ntouch {self.mark}\ncat\n")
        self.program.chmod(0o755)
        # On the host, too, there is such a program: it is a name that is the same.
        self.run_it = str(self.program)

    def let_loose(self, *arguments: str) -> None:
        """Run a git of the host, with nothing changed, in the proposed repo."""
        subprocess.run(
            ["git", "-C", str(self.proposed), *arguments],
            capture_output=True,
            env={"PATH": os.environ["PATH"], "HOME": str(self.base)},
            check=False,
        )

    async def deploy(self, sha: str) -> str:
        """Do with a commit all that is ever done with one; answer its diff."""
        await self.repos.submit("bob", sha)
        await self.repos.tag("bob", "failed", 1, sha, "note")
        diff = await self.repos.diff("bob", self.first, sha)
        await self.files("bob", sha)
        await self.repos.advance("bob", sha)
        await self.repos.rolled_back("bob", self.first)
        await self.repos.log("bob")
        await self.inside("rm -rf /agents/bob")
        await self.repos.create("bob", TEMPLATE, "x")
        self.assertFalse(self.mark.exists())
        self.assert_tidy()
        return diff.text

    async def test_hooks(self) -> None:
        """Hooks."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        folder = self.proposed / ".git" / "hooks"
        folder.mkdir(exist_ok=True)
        for name in HOOKS:
            (folder / name).write_text(f"#!/bin/sh\nexec {self.run_it} </dev/null\n")
            (folder / name).chmod(0o755)
        self.let_loose("commit", "--allow-empty", "-m", "x")
        self.assertTrue(self.mark.exists())
        self.mark.unlink()
        await self.inside(f"git config core.hooksPath {folder}")
        await self.deploy(sha)

    async def test_hooks_as_files(self) -> None:
        """Files of a commit that would be hooks in the place where they are written."""
        sha = await self.commit(
            f"mkdir hooks; printf '#!/bin/sh\\ntouch {self.mark}\\n' >hooks/post-update\n"
            "cp hooks/post-update hooks/reference-transaction; chmod 755 hooks/*\n"
            "printf '[core]\\nhooksPath = hooks\\n' >config"
        )
        await self.deploy(sha)

    async def test_configuration(self) -> None:
        """Settings that name programs."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        run = self.run_it
        for key in (
            *("core.fsmonitor", "core.sshCommand", "uploadpack.packObjectsHook"),
            *("core.pager", "core.editor", "core.askPass", "core.gitProxy"),
            *("core.alternateRefsCommand", "diff.external", "credential.helper"),
            *("gpg.program", "alias.rev-parse", "pager.rev-parse", "pager.log"),
        ):
            await self.inside(f"git config {key} {run}")
        await self.inside(
            "git config commit.gpgSign true; git config log.showSignature true\n"
            f"git config include.path {self.base}/elsewhere"
        )
        self.let_loose("status")
        self.assertTrue(self.mark.exists())
        self.mark.unlink()
        await self.deploy(sha)

    async def test_filters_and_attributes(self) -> None:
        """Attributes neither run anything, nor change a file, nor keep one out of sight."""
        content = "a = '$Format:%H$ $Id$'\n"
        shas = []
        for shown in ("diff=evil", "-diff"):
            attributes = (
                f"* filter=evil {shown} merge=evil export-subst export-ignore ident "
                "eol=crlf working-tree-encoding=UTF-16"
            )
            # Not by git add, which would heed them.
            sha = await self.inside(
                "put() { blob=$(git hash-object -w --no-filters $1)\n"
                "git update-index --add --cacheinfo 100644,$blob,$1; }\n"
                "printf \"a = '\\$Format:%%H\\$ \\$Id\\$'\\n\" >>agent.toml\n"
                f"echo '{attributes}' >.gitattributes\n"
                "put agent.toml; put .gitattributes\n"
                "git commit -qm attributes; git rev-parse HEAD"
            )
            shas.append(sha)
        await self.inside("git show HEAD~1:.gitattributes >.gitattributes")
        for key in ("filter.evil.clean", "filter.evil.smudge", "filter.evil.process"):
            await self.inside(f"git config {key} {self.run_it}")
        for key in ("diff.evil.command", "diff.evil.textconv", "merge.evil.driver"):
            await self.inside(f"git config {key} {self.run_it}")
        self.let_loose("diff", "--ext-diff", self.first, shas[0])
        self.assertTrue(self.mark.exists())
        self.mark.unlink()
        text = await self.deploy(shas[1])
        self.assertIn(f"\n+{content}+{content}", text)
        written = (await self.files("bob", shas[1]))[ENTRY].decode()
        self.assertEqual(written, 'model = "haiku"\n' + content + content)
        self.assertEqual((self.proposed / ENTRY).read_text(), written)

    async def test_replaced(self) -> None:
        """Another commit in the place of the one that is named, as far as git there is told."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        other = await self.commit("echo 'x = 2' >>agent.toml")
        await self.inside(f"git replace {sha} {other}")
        await self.repos.submit("bob", sha)
        files = await self.files("bob", sha)
        self.assertEqual(files[ENTRY], TEMPLATE[ENTRY] + b"x = 1\n")


class ElsewhereTests(Stage):
    """Repos that lead to what the manager may not read."""

    async def prepare(self) -> None:
        await super().prepare()
        self.secret = self.base / "secret"
        script = (
            f"git init -q {self.secret} && cd {self.secret} && "
            f"git fetch -q {self.applied} main && git checkout -q -b main FETCH_HEAD && "
            "echo key >secret && git add . && "
            "git -c user.name=x -c user.email=x commit -qm secret && git rev-parse HEAD"
        )
        self.sha = shell(script)

    async def assert_unreadable(self) -> None:
        said = await self.refused(
            self.repos.submit("bob", self.sha), UnknownCommit, FetchFailed
        )
        self.assertNotIn("secret", said.replace(str(self.secret), ""))
        self.assert_untouched()

    def assert_readable_on_the_host(self) -> None:
        """The same git, without the sandbox, finds the commit."""
        found = subprocess.run(
            ["git", "-C", str(self.proposed), "cat-file", "-t", self.sha],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(found.stdout, "commit\n", found.stderr)

    async def test_git_file(self) -> None:
        """A .git that is a file, and names a repo of the host."""
        await self.inside(f"rm -rf .git; echo 'gitdir: {self.secret}/.git' >.git")
        self.assert_readable_on_the_host()
        await self.assert_unreadable()

    async def test_git_link(self) -> None:
        """A .git, or the whole repo, that is a symlink."""
        await self.inside(f"rm -rf .git; ln -s {self.secret}/.git .git")
        self.assert_readable_on_the_host()
        await self.assert_unreadable()
        await self.inside(f"cd /; rm -rf /agents/bob; ln -s {self.secret} /agents/bob")
        self.assert_readable_on_the_host()
        await self.assert_unreadable()

    async def test_alternates(self) -> None:
        """Objects borrowed from another repo."""
        await self.inside(
            f"echo {self.secret}/.git/objects >.git/objects/info/alternates"
        )
        self.assert_readable_on_the_host()
        await self.assert_unreadable()

    async def test_alternates_of_another_agent(self) -> None:
        """Objects that the manager may read come in, if they come after main."""
        await self.repos.create("carol", {ENTRY: b"carol's"}, "First")
        carols = await self.repos.main("carol")
        await self.inside(
            "echo /applied/carol.git/objects >.git/objects/info/alternates"
        )
        await self.refused(self.repos.submit("bob", carols), NotOnMain)
        self.assert_untouched()
        sha = await self.inside(
            f"git commit-tree -p {self.first} -m x {carols}^{{tree}}"
        )
        await self.repos.submit("bob", sha)
        await self.inside("rm -rf /agents/bob")
        await self.repos.remove("carol")
        git(self.applied, "fsck", "--strict", "--connectivity-only")
        self.assertEqual(await self.files("bob", sha), {ENTRY: b"carol's"})

    async def test_no_repo(self) -> None:
        """Without a repo there, none is looked for further up."""
        shell(f"git init -q {self.layout.proposed}")
        await self.inside("rm -rf .git")
        said = await self.refused(self.repos.submit("bob", self.first), UnknownCommit)
        self.assertIn("not a git repository", said)


class ContentTests(Stage):
    """Commits that no configuration may be."""

    async def assert_refused(self, sha: str, *words: str) -> None:
        said = await self.refused(self.repos.submit("bob", sha), UnfitCommit, TooMuch)
        for word in words:
            self.assertIn(word, said)
        self.assertLess(len(said), 1500)
        self.assert_untouched()

    async def commit_tree(self, *entries: bytes) -> str:
        """A commit of a tree with these entries, as git keeps them, and the entry file."""
        blob = await self.inside("git rev-parse HEAD:agent.toml")
        raw = b"100644 agent.toml\0" + bytes.fromhex(blob)
        every = sorted([raw, *entries], key=lambda one: one.split(b" ", 1)[1])
        (self.home / "tree").write_bytes(b"".join(every))
        return await self.inside(
            "t=$(git hash-object -t tree --literally -w /root/tree)\n"
            "git commit-tree -p HEAD -m odd $t"
        )

    async def test_symlinks(self) -> None:
        """A symlink, wherever it leads."""
        for target in ("/etc/shadow", "../../../x", "agent.toml"):
            sha = await self.commit(f"ln -sf {target} link")
            await self.assert_refused(sha, "'link' is a symlink")

    async def test_submodules(self) -> None:
        """A submodule."""
        sha = await self.inside(
            f"git update-index --add --cacheinfo 160000,{self.first},sub\n"
            "git commit -qm sub; git rev-parse HEAD"
        )
        await self.assert_refused(sha, "'sub' is a submodule")

    async def test_names(self) -> None:
        """Names that hide something, or lead somewhere, or that not every place can have."""
        blob = bytes.fromhex(await self.inside("git rev-parse HEAD:agent.toml"))
        for name, word in (
            (b"new\nline", "control"),
            (b"esc\x1b[2J", "control"),
            ("\x9b2J".encode(), "control"),
            (b"back\\slash", "backslash"),
            (b"latin-\xe9", "UTF-8"),
            (b"n" * 256, "256 bytes"),
            (b".git", ".git"),
            (b".GiT", ".git"),
            (b"GIT~1", ".git"),
            (b"..", "'..'"),
            (b".", "'.'"),
            (b"a/b", "full path"),
        ):
            sha = await self.commit_tree(b"100644 " + name + b"\0" + blob)
            await self.assert_refused(sha, word)

    async def test_names_of_folders(self) -> None:
        """What holds for files holds for folders."""
        tree = bytes.fromhex(await self.inside("git rev-parse HEAD:notes"))
        for name, word in ((b"new\nline", "control"), (b".git", ".git"), (b"..", "..")):
            sha = await self.commit_tree(b"40000 " + name + b"\0" + tree)
            await self.assert_refused(sha, word)

    async def test_longest_names(self) -> None:
        """A path of long parts is refused; the longest name is not."""
        sha = await self.commit(f"echo >{'n' * 255}")
        await self.repos.submit("bob", sha)
        deep = "/".join(["d" * 200] * 6)
        sha = await self.commit(f"mkdir -p {deep}; echo >{deep}/f")
        await self.refused(self.repos.submit("bob", sha), UnfitCommit)

    async def test_huge_files(self) -> None:
        """Files that are too large, alone or together, are refused with both numbers."""
        sha = await self.commit(f"head -c {MAX_FILE + 1} /dev/zero >big")
        await self.assert_refused(sha, "'big'", str(MAX_FILE), str(MAX_FILE + 1))
        sha = await self.commit(
            f"rm big; for n in 1 2 3 4 5 6 7 8; do head -c {MAX_FILE} /dev/zero >$n; done"
        )
        await self.assert_refused(sha, "together", str(8 * MAX_FILE))
        sha = await self.commit("rm 8")
        await self.repos.submit("bob", sha)
        self.assertEqual(len((await self.files("bob", sha))["7"]), MAX_FILE)

    async def test_huge_history(self) -> None:
        """What is too large packed is refused, wherever in the history it lies."""
        self.repos = self.make_repos(max_pack=200_000)
        sha = await self.commit("head -c 300000 /dev/urandom >big")
        await self.inside("git rm -q big; git commit -qm gone")
        for ref in (sha, await self.inside("git rev-parse HEAD")):
            said = await self.refused(self.repos.submit("bob", ref), TooLarge)
            self.assertIn("200000", said)
            self.assert_untouched()

    async def test_many_files(self) -> None:
        """A thousand files are fine, one more is not."""
        # The template has two.
        sha = await self.commit(
            f"mkdir m; cd m; seq {MAX_FILES - 2} | xargs touch; cd .."
        )
        self.assertEqual(len((await self.repos.submit("bob", sha)).files), MAX_FILES)
        self.assertEqual(len(await self.files("bob", sha)), MAX_FILES)
        sha = await self.commit("touch m/more")
        said = await self.refused(self.repos.submit("bob", sha), TooMuch)
        self.assertIn(str(MAX_FILES), said)

    async def test_tree_of_trees(self) -> None:
        """Ten small trees that name a hundred million files cost nothing."""
        sha = await self.inside(
            "t=$(git rev-parse HEAD:notes)\n"
            "for level in 1 2 3 4 5 6 7 8; do\n"
            "  t=$(for n in 0 1 2 3 4 5 6 7 8 9; do printf '040000 tree %s\\t%s\\n' $t $n; done"
            " | git mktree)\n"
            "done\n"
            "t=$(printf '040000 tree %s\\tx\\n100644 blob %s\\tagent.toml\\n'"
            " $t $(git rev-parse HEAD:agent.toml) | git mktree)\n"
            "git commit-tree -p HEAD -m bomb $t"
        )
        await self.assert_refused(sha, f"more than {MAX_FILES}")

    async def test_deep_tree(self) -> None:
        """Folders in folders in folders."""
        sha = await self.inside(
            "(echo 'commit refs/heads/deep'; echo 'committer x <x> 1 +0000'\n"
            f"echo 'data 0'; echo 'from {self.first}'; printf 'M 644 inline '\n"
            "printf '%05000d' 0 | sed 's|0|d/|g'; echo f; echo 'data 0') >/tmp/stream\n"
            "git fast-import --quiet </tmp/stream; git rev-parse deep"
        )
        await self.assert_refused(sha, "10001 bytes")

    async def test_no_entry(self) -> None:
        """Without the file that a configuration is read from there is none."""
        for script in (
            "git mv agent.toml other.toml",
            "mkdir agent.toml; git mv other.toml agent.toml/x",
        ):
            await self.assert_refused(await self.commit(script), "no file agent.toml")


def bomb() -> bytes:
    """A sound pack of two objects; the second is 64 GiB of zeros, made of the first."""
    part = 0xFFFFFF
    copies = 4096
    base = zlib.compress(bytes(part))
    delta = zlib.compress(
        size_of(part) + size_of(part * copies) + b"\xf0\xff\xff\xff" * copies
    )
    head = header(3, part)
    back = len(head) + len(base)
    deltas = header(6, len(zlib.decompress(delta))) + offset(back)
    pack = b"PACK" + struct.pack(">II", 2, 2) + head + base + deltas + delta
    return pack + hashlib.sha1(pack).digest()


def size_of(number: int) -> bytes:
    """A size as deltas have it."""
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def header(kind: int, size: int) -> bytes:
    """What comes before an object in a pack."""
    first, rest = kind << 4 | size & 0xF, size >> 4
    return bytes([first | 0x80]) + size_of(rest) if rest else bytes([first])


def offset(back: int) -> bytes:
    """How far before a delta what it builds on begins."""
    parts = [back & 0x7F]
    while back := back >> 7:
        back -= 1
        parts.insert(0, back & 0x7F | 0x80)
    return bytes(parts)


class Impostor:
    """A driver in whose container one command of git is something else."""

    def __init__(self, driver: Any, command: str, script: str) -> None:
        self._driver = driver
        self._command = command
        self._script = script

    def run(self, name: str, command: Command, observer: Any) -> Any:
        """Run what is in the place of git."""
        if self._command in command.argv:
            command = Command(
                ("sh", "-c", self._script), command.environment, "/", command.stdin
            )
        return self._driver.run(name, command, observer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)


class ImpostorTests(Stage):
    """A container that answers what it likes: nothing of that is believed."""

    async def prepare(self) -> None:
        await super().prepare()
        self.sha = await self.commit("echo 'x = 1' >>agent.toml")
        # What its git would have said.
        await self.inside(
            f"printf '%s\\n^%s\\n' {self.sha} {self.first} >/tmp/wanted\n"
            "git pack-objects -q --revs --stdout </tmp/wanted >/root/sound"
        )

    def with_impostor(self, command: str, script: str) -> None:
        container = ContainerGit(
            reactor,
            Impostor(self.driver, command, script),  # it stands for one
            lambda: self.spec,
            self.layout,
            max_pack=1024 * 1024,
        )
        self.repos = Repos(reactor, self.layout, container, ENTRY)

    async def test_sound(self) -> None:
        """What is sound is taken from an impostor too: so the others fail for their faults."""
        self.with_impostor("pack-objects", "cat /root/sound")
        await self.repos.submit("bob", self.sha)

    async def test_bad_packs(self) -> None:
        """Garbage, nothing, a part, too much, or somebody else's objects."""
        other = await self.commit("echo 'x = 2' >>agent.toml")
        await self.inside(
            f"printf '%s\\n^%s\\n' {other} {self.sha} >/tmp/wanted\n"
            "git pack-objects -q --revs --stdout </tmp/wanted >/root/other\n"
            f"git rev-parse {self.sha} >/tmp/wanted\n"
            "git pack-objects -q --stdout </tmp/wanted >/root/commit-only"
        )
        for script in (
            "echo garbage",
            "head -c 100000 /dev/urandom",
            "true",
            "head -c 60 /root/sound",
            "cat /root/sound; echo more",
            "cat /root/sound /root/sound",
            "cat /root/other",
            "cat /root/commit-only",
            "printf 'PACK\\0\\0\\0\\2\\377\\377\\377\\377'; cat /root/sound",
        ):
            self.with_impostor("pack-objects", script)
            said = await self.refused(self.repos.submit("bob", self.sha), UnfitCommit)
            self.assertIn(self.sha[:12], said)
            self.assertLess(len(said), 1500)
            self.assert_untouched()

    async def test_bomb(self) -> None:
        """A few bytes that ask for more memory than there is end the git that reads them."""
        (self.home / "bomb").write_bytes(bomb())
        self.with_impostor("pack-objects", "cat /root/bomb")
        said = await self.refused(self.repos.submit("bob", self.sha), UnfitCommit)
        self.assertRegex(said, "(?i)memory")
        self.assert_untouched()

    async def test_endless(self) -> None:
        """A pack without an end is ended at the limit, and its process with it."""
        self.with_impostor("pack-objects", "cat /root/sound; cat /dev/zero")
        said = await self.refused(self.repos.submit("bob", self.sha), TooLarge)
        self.assertIn(str(1024 * 1024), said)
        self.assert_untouched()

    async def test_silent(self) -> None:
        """One that never comes is waited for so long, and no longer."""
        self.patch(fetch, "PACK_LIMIT", 0.2)
        self.with_impostor("pack-objects", "trap '' INT TERM; sleep 1000")
        said = await self.refused(self.repos.submit("bob", self.sha), FetchFailed)
        self.assertIn("more than 0.2 s", said)
        self.assert_untouched()

    async def test_failing(self) -> None:
        """What it says of its failure is shown, bounded, and shows nothing else."""
        self.with_impostor(
            "pack-objects",
            "cat /root/sound; printf 'fatal: no \\033[2J space\\n' >&2\n"
            "head -c 100000 /dev/zero | tr '\\0' x >&2; printf '\\nfatal: end\\n' >&2; exit 3",
        )
        said = await self.refused(self.repos.submit("bob", self.sha), FetchFailed)
        self.assertIn("fatal: end", said)
        self.assertLess(len(said), 1500)
        self.assert_untouched()

    async def test_lies(self) -> None:
        """A commit's name that is none, or not the one that was asked for."""
        for script in (
            "echo HEAD",
            f"echo {self.first}",
            "printf '%s\\n--all\\n' " + self.sha,
            "head -c 1000000 /dev/zero",
            "echo",
            f"printf {self.sha}",
        ):
            self.with_impostor("rev-parse", script)
            await self.refused(self.repos.submit("bob", self.sha[:9]), UnknownCommit)
            self.assert_untouched()

    async def test_says_that_it_follows(self) -> None:
        """That a commit comes after main is looked at here."""
        other = await self.inside(
            "git checkout -q --orphan other; git commit -qm x; git rev-parse HEAD"
        )
        self.with_impostor("merge-base", "true")
        await self.refused(self.repos.submit("bob", other), NotOnMain)
        self.assert_untouched()

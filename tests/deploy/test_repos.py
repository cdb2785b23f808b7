"""What is proposed, pinned, shown and deployed, with real git and a real sandbox."""

import os
import shutil
from pathlib import Path

from twisted.internet.defer import CancelledError, gatherResults

from hyperhive.containers.process import ProcessDriver
from hyperhive.deploy import workshop
from hyperhive.deploy.diffs import MAX_DIFF, ChangedFile
from hyperhive.deploy.disk import put_in_place
from hyperhive.deploy.fetch import UnknownCommit
from hyperhive.deploy.git import GitError
from hyperhive.deploy.repos import NoSuchRepo, NothingNew, NotOnMain, Proposal
from hyperhive.deploy.tags import MAX_NOTE, TagTaken
from hyperhive.errors import BadRequest
from hyperhive.names import MANAGER, InvalidName
from tests.deploy.stage import ENTRY, NOW, TEMPLATE, Stage, git, tree


class CreateTests(Stage):
    """Two repos for a new agent."""

    async def test_made(self) -> None:
        """Both have the files, in one commit; the manager's says where the other is."""
        self.assertEqual(git(self.applied, "rev-parse", "main"), self.first)
        self.assertEqual(await self.files("bob", self.first), TEMPLATE)
        self.assertEqual(tree(self.proposed), TEMPLATE)
        self.assertEqual(await self.inside("git rev-parse HEAD"), self.first)
        self.assertEqual(await self.inside("git status --porcelain"), "")
        await self.inside("git fetch -q applied && git diff --quiet applied/main")
        self.assertEqual(
            git(self.applied, "log", "--format=%an %ae %at %s", "main"),
            f"hyperhive hyperhive@localhost {NOW:.0f} The first commit",
        )
        self.assert_tidy()

    async def test_commits(self) -> None:
        """The manager can commit at once, under its own name."""
        await self.commit("echo more >>agent.toml")
        self.assertEqual(
            await self.inside("git log -1 --format='%an %ae'"), "hm1nd hm1nd@localhost"
        )

    async def test_again(self) -> None:
        """What is there stays, whatever the agent would begin with now."""
        await self.inside("echo mine >agent.toml")
        again = await self.repos.create("bob", {ENTRY: b"other"}, "Another")
        self.assertEqual(again, self.first)
        self.assertEqual(tree(self.proposed)[ENTRY], b"mine\n")

    async def test_proposed_is_gone(self) -> None:
        """A proposed repo that its writer removed is made anew, from what is deployed."""
        sha = await self.commit(
            "echo 'x = 1' >>agent.toml; printf '#!/bin/sh\\n' >run; chmod 755 run"
        )
        await self.repos.submit("bob", sha)
        await self.repos.advance("bob", sha)
        await self.inside("rm -rf /agents/bob")
        self.assertEqual(await self.repos.create("bob", TEMPLATE, "No"), sha)
        self.assertEqual(
            await self.inside("git rev-parse HEAD applied/main"), f"{sha}\n{sha}"
        )
        self.assertEqual(await self.inside("git status --porcelain"), "")
        self.assertEqual(await self.inside("stat -c %a run agent.toml"), "755\n644")
        # … and with all of its history.
        self.assertEqual(await self.inside("git rev-list --count HEAD"), "2")

    async def test_first_of_all(self) -> None:
        """Also the folders of all repos are made, where there are none."""
        shutil.rmtree(self.layout.state_dir)
        sha = await self.make_repos().create(MANAGER, TEMPLATE, "First")
        proposed = self.layout.proposed_repo(MANAGER)
        self.assertEqual(tree(proposed), TEMPLATE)
        self.assertEqual(git(proposed / ".git", "rev-parse", "HEAD"), sha)

    async def test_place_is_taken(self) -> None:
        """What the manager has put in the place of a repo is neither followed nor removed."""
        (self.base / "elsewhere").mkdir()
        await self.inside(
            f"ln -s {self.base}/elsewhere /agents/carol; echo x >/agents/dave"
        )
        await self.repos.create("carol", TEMPLATE, "First")
        await self.repos.create("dave", TEMPLATE, "First")
        self.assertEqual(os.listdir(self.base / "elsewhere"), [])
        self.assertEqual(self.layout.proposed_repo("dave").read_text(), "x\n")

    async def test_place_is_taken_meanwhile(self) -> None:
        """What the manager puts there while the repo is made stays too."""
        place = self.layout.proposed_repo("carol")

        def late(folder: Path, target: Path) -> None:
            if target == place:
                (place / "mine").mkdir(parents=True)
            put_in_place(folder, target)

        self.patch(workshop, "put_in_place", late)
        await self.repos.create("carol", TEMPLATE, "First")
        self.assertEqual(os.listdir(place), ["mine"])
        self.assert_tidy()

    async def test_odd_names_of_files(self) -> None:
        """Files with quotes and with bytes of any value begin a repo as they are."""
        files = {ENTRY: bytes(range(256)), 'a "quoted" näme/ x': b""}
        sha = await self.repos.create("carol", files, "Erste\n\nÄ")
        self.assertEqual(await self.files("carol", sha), files)

    async def test_manager_itself(self) -> None:
        """The manager has repos too."""
        sha = await self.repos.create(MANAGER, TEMPLATE, "First")
        self.assertEqual(
            await self.inside(f"git -C /agents/{MANAGER} rev-parse HEAD"), sha
        )

    async def test_name(self) -> None:
        """A name that is no agent's leads nowhere."""
        for name in ("../bob", "", "Bob", "host", ".private"):
            await self.refused(self.repos.create(name, TEMPLATE, "x"), InvalidName)
            await self.refused(self.repos.remove(name), InvalidName)

    async def test_nobody(self) -> None:
        """What has no repo says so."""
        for waiting in (
            self.repos.main("carol"),
            self.repos.submit("carol", self.first),
            self.repos.tags("carol"),
            self.repos.tree("carol", self.first),
        ):
            self.assertIn("carol", await self.refused(waiting, NoSuchRepo))

    async def test_remove(self) -> None:
        """A purge leaves nothing; another agent of the name begins anew."""
        await self.commit(
            "mkdir -p deep/er; echo >deep/er/file; ln -s / root; chmod 0 deep"
        )
        await self.repos.remove("bob")
        self.assertEqual(os.listdir(self.layout.proposed), [])
        self.assertEqual(os.listdir(self.layout.applied), [".private"])
        await self.repos.remove("bob")
        self.now += 1
        self.assertNotEqual(await self.repos.create("bob", TEMPLATE, "x"), self.first)
        self.assert_tidy()

    async def test_remove_link(self) -> None:
        """Where a proposed repo is a link by now, what it leads to stays."""
        kept = self.base / "kept"
        kept.mkdir()
        (kept / "file").write_text("kept")
        await self.inside(f"rm -rf /agents/bob; ln -s {kept} /agents/bob")
        await self.repos.remove("bob")
        self.assertEqual((kept / "file").read_text(), "kept")
        self.assertEqual(os.listdir(self.layout.proposed), [])


class SubmitTests(Stage):
    """A commit is copied out, checked and pinned."""

    async def test_pinned(self) -> None:
        """It is named by any of its beginnings, and all of it is in the applied repo."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        for ref in (sha, sha[:7], sha[:12].upper()):
            self.assertEqual(
                await self.repos.submit("bob", ref),
                Proposal(sha, self.first, (ENTRY, "notes/read.me")),
            )
        self.assertEqual(
            git(self.applied, "rev-parse", f"refs/hive/fetched/{sha}"), sha
        )
        files = await self.files("bob", sha)
        self.assertEqual(files[ENTRY], b'model = "haiku"\nx = 1\n')
        self.assertEqual(await self.repos.main("bob"), self.first)
        self.assert_tidy()

    async def test_many_commits(self) -> None:
        """What lies between main and the commit comes with it, merges included."""
        sha = await self.inside(
            "for n in 1 2 3; do echo $n >>a; git add a; git commit -qm $n; done\n"
            "git checkout -qb side HEAD~2; echo b >b; git add b; git commit -qm b\n"
            "git merge -q -m both main; git rev-parse HEAD"
        )
        await self.repos.submit("bob", sha)
        self.assertEqual(
            git(self.applied, "rev-list", "--count", f"{self.first}..{sha}"), "5"
        )

    async def test_not_a_name(self) -> None:
        """Only hexadecimal digits name a commit: nothing that could be an option or a path."""
        for ref in (
            *("--upload-pack=touch /tmp/x", "-h", "HEAD", "main", "", "abcdef"),
            *("0" * 41, "deadbee\n", "dead beef", "../../x", "abcdef0^{tree}"),
        ):
            said = await self.refused(self.repos.submit("bob", ref), BadRequest)
            self.assertIn("7 to 40", said)

    async def test_unknown(self) -> None:
        """A commit that is not there, or is none, is an error that says so."""
        tree_sha = await self.inside("git rev-parse HEAD^{tree}")
        tag = await self.inside("git tag -a -m x x; git rev-parse x")
        for ref in ("deadbeefdeadbeef", "f" * 40, tree_sha, tag):
            said = await self.refused(self.repos.submit("bob", ref), UnknownCommit)
            self.assertIn(ref, said)
            self.assertIn("/agents/bob", said)
        self.assert_untouched()

    async def test_branch_like_a_commit(self) -> None:
        """A branch that is called like the beginning of a commit is not one."""
        await self.commit("echo >x")
        await self.inside("git branch deadbeef")
        said = await self.refused(self.repos.submit("bob", "deadbeef"), UnknownCommit)
        self.assertIn("name the commit itself", said)
        self.assert_untouched()

    async def test_nothing_new(self) -> None:
        """What is deployed can't be proposed."""
        await self.refused(self.repos.submit("bob", self.first), NothingNew)

    async def test_behind(self) -> None:
        """A commit that does not come after main is refused; to do what is said helps."""
        one = await self.commit("echo one >one")
        other = await self.inside(
            f"git checkout -q -B main {self.first}; echo two >two; git add two\n"
            "git commit -qm two; git rev-parse HEAD"
        )
        await self.repos.submit("bob", one)
        await self.repos.submit("bob", other)
        await self.repos.advance("bob", one)
        # The one is known here already, the other is not.
        newer = await self.commit("echo more >two")
        for ref in (other, newer):
            said = await self.refused(self.repos.submit("bob", ref), NotOnMain)
            self.assertIn(one[:12], said)
        await self.refused(self.repos.check_follows_main("bob", other), NotOnMain)
        await self.inside(said.partition("that: ")[2] + " >/dev/null 2>&1")
        rebased = await self.inside("git rev-parse HEAD")
        await self.repos.submit("bob", rebased)
        await self.repos.check_follows_main("bob", rebased)
        await self.repos.advance("bob", rebased)
        self.assertEqual(
            set(await self.files("bob", rebased)),
            {ENTRY, "notes/read.me", "one", "two"},
        )

    async def test_unrelated(self) -> None:
        """A history of its own is refused likewise."""
        sha = await self.inside(
            "git checkout -q --orphan other; git commit -qm x; git rev-parse HEAD"
        )
        await self.refused(self.repos.submit("bob", sha), NotOnMain)
        self.assert_untouched()

    async def test_changed_afterwards(self) -> None:
        """Nothing that becomes of the proposed repo changes what was pinned."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        await self.repos.submit("bob", sha)
        await self.repos.tag("bob", "proposal", 1, sha)
        before = await self.files("bob", sha)
        for script in (
            "echo 'x = 2' >>agent.toml; git commit -q --amend -a -m other",
            f"git reset -q --hard {self.first}; git reflog expire --expire=now --all\n"
            "git gc -q --prune=now",
            f"git update-ref -d refs/heads/main; ! git cat-file -e {sha}",
            "cd /; rm -rf /agents/bob",
        ):
            await self.inside(script)
            if not self.proposed.exists():
                break
        git(self.applied, "gc", "--prune=now", "--quiet")
        self.assertEqual(await self.files("bob", sha), before)
        self.assertEqual([tag.sha for tag in await self.repos.tags("bob")], [sha])
        self.assert_tidy()

    async def test_pinned_without_tags(self) -> None:
        """What was fetched outlives git's clearing up before anything else names it."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        await self.repos.submit("bob", sha)
        git(self.applied, "gc", "--prune=now", "--quiet")
        self.assertIn(b"x = 1", (await self.files("bob", sha))[ENTRY])

    async def test_all_at_once(self) -> None:
        """Operations on one repo take turns."""
        shas = [await self.commit(f"echo {n} >>agent.toml") for n in range(3)]
        proposals = await gatherResults(
            [self.repos.submit("bob", sha) for sha in (*shas, *shas)]
        )
        self.assertEqual([one.sha for one in proposals], shas * 2)
        self.assert_tidy()

    async def test_hanging(self) -> None:
        """A git that hangs in what is proposed keeps nothing but another proposal."""
        good = await self.commit("echo 'x = 1' >>agent.toml")
        bad = await self.commit("echo 'x = 2' >>agent.toml")
        await self.repos.submit("bob", good)
        blob = "$(git rev-parse HEAD:agent.toml | sed 's|..|&/|')"
        for read in (f".git/objects/{blob}", ".git/HEAD"):
            await self.inside(f"place={read}; mv $place keep; mkfifo $place")
            waiting = self.repos.submit("bob", bad)
            other = self.repos.submit("bob", good)
            await self.repos.tag("bob", "approved", 1, good)
            self.assertEqual(await self.repos.main("bob"), self.first)
            self.assertIn(b"x = 1", (await self.files("bob", good))[ENTRY])
            self.assertFalse(waiting.called)
            self.assertFalse(other.called)
            waiting.cancel()
            await self.assertFailure(waiting, CancelledError)
            other.cancel()
            await self.assertFailure(other, CancelledError)
            await self.inside(f"place={read}; rm $place; mv keep $place")
        await self.repos.submit("bob", bad)
        self.assert_tidy()

    async def test_manager_does_not_run(self) -> None:
        """Without the container nothing is read; that is said."""
        await self.driver.stop(MANAGER)
        said = await self.refused(self.repos.submit("bob", "deadbeef"), Exception)
        self.assertIn("not running", said)
        self.assert_tidy()


class OutcomeTests(Stage):
    """Tags, main, rollbacks."""

    async def prepare(self) -> None:
        await super().prepare()
        self.sha = await self.commit("echo 'x = 1' >>agent.toml")
        await self.repos.submit("bob", self.sha)

    async def test_tags(self) -> None:
        """Each step is a tag; an error and a reason are kept with theirs."""
        for kind in ("proposal", "approved", "building"):
            await self.repos.tag("bob", kind, 7, self.sha)
        await self.repos.tag("bob", "failed", 7, self.sha, "error: no\n  such thing ü")
        await self.repos.tag("bob", "denied", 8, self.sha, "not today")
        self.assertEqual(
            [(tag.kind, tag.id, tag.note) for tag in await self.repos.tags("bob")],
            [
                ("approved", 7, None),
                ("building", 7, None),
                ("failed", 7, "error: no\n  such thing ü"),
                ("proposal", 7, None),
                ("denied", 8, "not today"),
            ],
        )
        self.assertEqual({tag.sha for tag in await self.repos.tags("bob")}, {self.sha})
        self.assertEqual(git(self.applied, "cat-file", "-t", "proposal/7"), "commit")
        self.assertEqual(git(self.applied, "cat-file", "-t", "failed/7"), "tag")
        # The manager can read them where it works.
        await self.inside("git fetch -q --tags applied")
        self.assertIn(
            "such thing ü",
            await self.inside("git tag -l --format='%(contents)' failed/7"),
        )
        self.assert_tidy()

    async def test_tag_again(self) -> None:
        """The same again changes nothing; another note replaces the first; another commit is refused."""
        await self.repos.tag("bob", "failed", 7, self.sha, "one")
        made = git(self.applied, "rev-parse", "failed/7")
        self.now += 10
        await self.repos.tag("bob", "failed", 7, self.sha, "one")
        await self.repos.tag("bob", "failed", 7, self.sha)
        self.assertEqual(git(self.applied, "rev-parse", "failed/7"), made)
        await self.repos.tag("bob", "failed", 7, self.sha, "two")
        [tag] = await self.repos.tags("bob")
        self.assertEqual((tag.note, tag.at), ("two", self.now))
        said = await self.refused(
            self.repos.tag("bob", "failed", 7, self.first), TagTaken
        )
        self.assertIn("failed/7", said)
        self.assertEqual((await self.repos.tags("bob"))[0].sha, self.sha)

    async def test_note(self) -> None:
        """A note may be any text: it is cut, and can't be mistaken for more tags."""
        notes = {
            1: "x" * (3 * MAX_NOTE),
            2: "a\0b\nrefs/tags/denied/9\0deadbeef\0\0\0",
            3: "-----BEGIN PGP SIGNATURE-----\nno",
            4: "   ",
        }
        for id, note in notes.items():
            await self.repos.tag("bob", "denied", id, self.sha, note)
        tags = {tag.id: tag.note for tag in await self.repos.tags("bob")}
        self.assertEqual(set(tags), {1, 2, 3, 4})
        assert tags[1] is not None
        self.assertLess(len(tags[1]), MAX_NOTE + 100)
        self.assertIn(str(3 * MAX_NOTE), tags[1])
        self.assertEqual(tags[2], "a�b\nrefs/tags/denied/9�deadbeef���")
        self.assertEqual(tags[3], notes[3])
        self.assertIsNone(tags[4])

    async def test_foreign_tags(self) -> None:
        """Tags that are not the hive's are not shown as such."""
        for name in ("v1", "deployed/x", "approved/1/2"):
            git(self.applied, "update-ref", f"refs/tags/{name}", self.sha)
        self.assertEqual(await self.repos.tags("bob"), [])
        self.assertEqual(await self.repos.deployments("bob"), [])

    async def test_advance(self) -> None:
        """Main goes forward, and never back."""
        await self.repos.advance("bob", self.sha)
        self.assertEqual(await self.repos.main("bob"), self.sha)
        await self.repos.advance("bob", self.sha)
        await self.refused(self.repos.advance("bob", self.first), NotOnMain)
        await self.refused(self.repos.advance("bob", "main"), BadRequest)
        await self.refused(self.repos.advance("bob", "f" * 40), GitError)
        self.assertEqual(await self.repos.main("bob"), self.sha)

    async def test_deployments(self) -> None:
        """The newest is first; each has its time and its commit."""
        await self.repos.tag("bob", "deployed", 2, self.first)
        self.now += 60.0
        await self.repos.tag("bob", "deployed", 10, self.sha)
        self.now += 60.0
        await self.repos.tag("bob", "deployed", 3, self.first)
        await self.repos.tag("bob", "deployed", 2, self.first)
        self.assertEqual(
            [(one.id, one.sha, one.at) for one in await self.repos.deployments("bob")],
            [
                (3, self.first, NOW + 120),
                (10, self.sha, NOW + 60),
                (2, self.first, NOW),
            ],
        )

    async def test_roll_back(self) -> None:
        """The old files come back as a commit after main, which main then goes to."""
        await self.repos.advance("bob", self.sha)
        made = await self.repos.rolled_back("bob", self.first)
        self.assertEqual(await self.repos.main("bob"), self.sha)
        git(self.applied, "gc", "--prune=now", "--quiet")
        await self.repos.advance("bob", made)
        self.assertEqual(await self.files("bob", made), TEMPLATE)
        self.assertEqual(
            [(one.sha, one.author) for one in await self.repos.log("bob")],
            [(made, "hyperhive"), (self.sha, "hm1nd"), (self.first, "hyperhive")],
        )
        self.assertIn(self.first[:12], (await self.repos.log("bob", 1))[0].subject)
        # What the manager proposes next builds on that.
        said = await self.refused(
            self.repos.submit("bob", await self.commit("echo >x")), NotOnMain
        )
        await self.inside(said.partition("that: ")[2] + " >/dev/null 2>&1")
        await self.repos.submit("bob", await self.inside("git rev-parse HEAD"))

    async def test_log_of_anything(self) -> None:
        """What agents have written into commits is shown, and shows nothing else."""
        sha = await self.inside(
            "echo >x; git add x; printf 'esc \\033[2J \\342\\200\\256rtl\\n\\nbody' >/tmp/m\n"
            "git -c user.name='A\tB' commit -q -F /tmp/m; git rev-parse HEAD"
        )
        await self.repos.submit("bob", sha)
        await self.repos.advance("bob", sha)
        newest = (await self.repos.log("bob"))[0]
        self.assertEqual(newest.subject, "esc \\x1b[2J \\u202ertl")


class ContentTests(Stage):
    """Diffs and files."""

    async def test_diff(self) -> None:
        """Every file that changes is in it, with how much."""
        sha = await self.commit(
            "echo 'x = 1' >>agent.toml; git rm -q notes/read.me\n"
            "printf 'a\\0b' >blob; printf '#!/bin/sh\\n' >'näm e'; chmod 755 'näm e'"
        )
        await self.repos.submit("bob", sha)
        diff = await self.repos.diff("bob", self.first, sha)
        self.assertEqual(
            (diff.base, diff.sha, diff.truncated), (self.first, sha, False)
        )
        self.assertEqual(
            diff.files,
            (
                ChangedFile(ENTRY, 1, 0),
                ChangedFile("blob", None, None),
                ChangedFile("notes/read.me", 0, 1),
                ChangedFile("näm e", 1, 0),
            ),
        )
        self.assertEqual([one.path for one in diff.files if one.binary], ["blob"])
        for line in (
            "--- a/agent.toml\n+++ b/agent.toml\n@@ -1 +1,2 @@\n",
            "\n+x = 1\n",
            "Binary files /dev/null and b/blob differ\n",
            "\n-first\n",
            "new file mode 100755\n",
            "+++ b/näm e",
        ):
            self.assertIn(line, diff.text)
        self.assertEqual((await self.repos.diff("bob", sha, sha)).text, "")

    async def test_long_diff(self) -> None:
        """A text that is too long says that it is cut; the list of files is whole."""
        sha = await self.commit("seq 100000 >a; seq 100000 >b; seq 100000 >c; echo >d")
        await self.repos.submit("bob", sha)
        diff = await self.repos.diff("bob", self.first, sha)
        self.assertTrue(diff.truncated)
        self.assertLessEqual(len(diff.text), MAX_DIFF)
        self.assertGreater(len(diff.text), MAX_DIFF - 100)
        self.assertTrue(diff.text.endswith("\n"))
        self.assertEqual([one.path for one in diff.files], ["a", "b", "c", "d"])
        self.assertEqual(diff.files[0].added, 100000)

    async def test_nothing_hides(self) -> None:
        """What a terminal or a browser would not show is spelled out, and bounded still."""
        sha = await self.commit(
            "printf 'ok\\r\\033[1A\\033[2Kfine \\342\\200\\256abc \\351\\n' >shown\n"
            "head -c 900000 /dev/zero | tr '\\0' '\\001' >x"
        )
        await self.repos.submit("bob", sha)
        diff = await self.repos.diff("bob", self.first, sha)
        self.assertIn(
            "+ok\\r\\x1b[1A\\x1b[2Kfine \\u202eabc \\xe9\n".replace("\\r", "\\x0d"),
            diff.text,
        )
        self.assertTrue(diff.truncated)
        self.assertLessEqual(len(diff.text), MAX_DIFF)

    async def test_tree(self) -> None:
        """A commit's files are known with what is in them, and which are programs."""
        sha = await self.commit(
            "printf '#!/bin/sh\\n' >run; chmod 755 run; mkdir -p a/b; echo c >a/b/c"
        )
        await self.repos.submit("bob", sha)
        found = await self.repos.tree("bob", sha)
        self.assertEqual(
            found.contents, {**TEMPLATE, "run": b"#!/bin/sh\n", "a/b/c": b"c\n"}
        )
        self.assertEqual(found.programs, {"run"})


class ProcessTests(Stage):
    """On a host without sandboxes, where everything is called as it is."""

    driver_class = ProcessDriver

    async def test_all(self) -> None:
        """A change is proposed, rebased as is said, and deployed."""
        other = await self.commit("echo other >other")
        await self.repos.submit("bob", other)
        await self.inside(f"git reset -q --hard {self.first}")
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        await self.repos.advance("bob", other)
        said = await self.refused(self.repos.submit("bob", sha), NotOnMain)
        await self.inside(said.partition("that: ")[2] + " >/dev/null 2>&1")
        sha = await self.inside("git rev-parse HEAD")
        await self.repos.submit("bob", sha)
        await self.repos.advance("bob", sha)
        self.assertIn("other", await self.files("bob", sha))
        self.assert_tidy()

"""Whom PostgreSQL runs as: it refuses root, so root hands it to an account without rights."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

_PASS_THROUGH = stat.S_IXGRP | stat.S_IXOTH
_READ = stat.S_IRGRP | stat.S_IROTH


class PopenOptions(TypedDict, total=False):
    """The part of `subprocess.Popen`'s arguments that changes who the child is."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """A user that child processes run as."""

    uid: int
    gid: int

    @classmethod
    def for_servers_that_refuse_root(cls) -> "Account | None":
        """`nobody` when this process is root, else None (stay who we are).

        `nobody` exists on every system. An account of our own would have to be created, and would stay behind.
        """
        if os.geteuid() != 0:
            return None
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def own(self, path: Path) -> None:
        """Make one file or directory this account's."""
        os.chown(path, self.uid, self.gid)


def popen_options(account: Account | None) -> PopenOptions:
    """Arguments that make a child run as `account`, without root's other groups; None changes nothing."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def let_others_reach(path: Path) -> None:
    """Let every account pass through the directories above `path`, without letting it list or read them.

    A checkout often lies below /root (mode 700), and an account without rights must get to the server's programs
    and data in it. Copying 40 MB of programs somewhere else would leave something behind outside the checkout;
    the search bit alone shows nothing of a directory to anyone who does not know the name already.
    """
    for directory in path.resolve().parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(mode | _PASS_THROUGH)


def let_others_read(root: Path) -> None:
    """Give everybody read access to an installed tree; an umask of 077 at installation would have taken it.

    A tree that does not exist is fine.
    """
    for path in (root, *root.rglob("*")):
        if path.is_symlink() or not path.exists():
            continue
        mode = path.stat().st_mode
        wanted = mode | _READ | (_PASS_THROUGH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)

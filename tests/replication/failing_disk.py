"""A disk that loses its power: the operations of `replication.disk` over a model of what is and is not durable.

Files and folders are nodes. Each holds its present content and the durable one, and every change that was not synced
yet. `ModelDisk.steps` counts operations; at `fail_at` the power fails *before* that operation. `after_power_cut` gives
every disk that may be found then: each unsynced file has its old, its new, or a torn content; each folder has lost any
number of the last changes of its names, independently of all others. That is more than a journalling file system loses.
"""

import hashlib
import itertools
from pathlib import Path

from daemoncore.durable import DurableError
from replication.disk import Facts, Kind, likeness_of

OWNER = (1000, 1000)


class PowerCut(BaseException):
    """The power fails. Nothing in the product may catch it."""


class Node:
    """A file (`content` is bytes) or a folder (`content` maps names to nodes)."""

    def __init__(self, inode, kind, mode, now):
        self.inode, self.kind, self.mode, self.owner, self.modified = inode, kind, mode, OWNER, now
        self.content = {} if kind is Kind.FOLDER else b""
        #: Every content since the last sync; the first one is durable.
        self.versions = [self.content]

    def change(self, content):
        """Take another content, which is not durable yet."""
        self.content = content
        self.versions.append(content)

    def outcomes(self):
        """What may be found after a power cut."""
        found = list(self.versions)
        if self.kind is Kind.FILE and len(found) > 1:
            old, new = found[0], found[-1]
            common = next(
                (place for place, pair in enumerate(zip(old, new, strict=False)) if len({*pair}) > 1),
                len(old),
            )
            # Torn: half of what was written, or the new length with nothing in it.
            found.append(new[: (common + len(new)) // 2])
            found.append(new[:common].ljust(len(new), b"\0"))
        return [content for place, content in enumerate(found) if content not in found[:place]]


class ModelDisk:
    """See the module."""

    def __init__(self, folders=(), can_exchange=True):
        self.can_exchange = can_exchange
        self.steps, self.fail_at, self.syncs_lie = 0, None, False
        self._inodes = itertools.count(10)
        self.root = self._node(Kind.FOLDER, 0o755)
        for folder in folders:
            node = self.root
            for part in Path(folder).parts[1:]:
                if part not in node.content:
                    node.change({**node.content, part: self._node(Kind.FOLDER, 0o755)})
                node.versions = [node.content]
                node = node.content[part]

    # -- the operations ---------------------------------------------------------------------------------

    def facts(self, path):
        """See `Disk`."""
        node = self._find(path)
        if node is None:
            return None
        size = len(node.content) if node.kind is Kind.FILE else 4096
        return Facts(node.kind, size, node.inode, node.modified, node.mode, node.owner)

    def names(self, folder):
        """See `Disk`."""
        node = self._find(folder)
        return [] if node is None else sorted(node.content)

    def read(self, path, limit_bytes):
        """See `Disk`."""
        data = self._there(path).content
        assert len(data) <= limit_bytes
        return data

    def replace(self, path, data, *, mode, owner, is_durable=True):
        """See `Disk`."""
        temporary = path.with_name(f".{path.name}.4242.tmp")
        self.write(temporary, data, mode)
        self.assume(temporary, mode, owner)
        if is_durable:
            self.sync(temporary)
        self.rename(temporary, path)
        if is_durable:
            self.sync(path.parent)

    def copy(self, source, target, size_bytes, mode):
        """See `Disk`."""
        data = self._there(source).content
        if len(data) < size_bytes:
            raise DurableError(f"{source}: too short", path=source)
        self.write(target, data[:size_bytes], mode)

    def append(self, source, target, start_bytes):
        """See `Disk`. Truncating and writing are two steps."""
        data, node = self._there(source).content, self._there(target)
        for content in (node.content[:start_bytes], node.content[:start_bytes] + data):
            self._step()
            node.modified += len(content) != len(node.content)
            node.change(content)

    def digest(self, path, size_bytes):
        """See `Disk`."""
        return hashlib.sha256(self._there(path).content[:size_bytes]).hexdigest()

    def likeness(self, source, target, start_bytes, size_bytes):
        """See `Disk`."""
        present = self._there(target).content[start_bytes : start_bytes + size_bytes]
        return likeness_of(self._there(source).content[:size_bytes], present)

    def assume(self, path, mode, owner):
        """See `Disk`."""
        self._step()
        node = self._there(path)
        node.mode = mode
        node.owner = owner or node.owner

    def make_folder(self, path, mode):
        """See `Disk`."""
        if self._find(path) is None:
            self._step()
            self._name(path, self._node(Kind.FOLDER, mode))

    def sync(self, path):
        """See `Disk`."""
        self._step()
        node = self._there(path)
        if not self.syncs_lie:
            node.versions = [node.content]

    def rename(self, source, target):
        """See `Disk`."""
        self._step()
        assert source.parent == target.parent, "a rename between folders is not durable in one sync"
        node, replaced, folder = self._there(source), self._find(target), self._there(source.parent)
        assert replaced is None or replaced.kind is Kind.FILE or not replaced.content, (
            f"{target} is not empty"
        )
        rest = {name: entry for name, entry in folder.content.items() if name != source.name}
        folder.change({**rest, target.name: node})

    def exchange(self, one, other):
        """See `Disk`."""
        self._step()
        folder = self._there(one.parent)
        if self.can_exchange:
            folder.change({**folder.content, one.name: self._there(other), other.name: self._there(one)})
        return self.can_exchange

    def remove(self, path):
        """See `Disk`."""
        if self._find(path) is not None:
            self._step()
            self._forget(path)

    def remove_folder(self, path):
        """See `Disk`."""
        self._step()
        assert not self._there(path).content
        self._forget(path)

    # -- what tests do ----------------------------------------------------------------------------------

    def write(self, path, data, mode=0o600):
        """Write a file in two steps, name and content; nothing of it is durable."""
        self._step()
        node = self._find(path)
        if node is None:
            node = self._node(Kind.FILE, mode)
            self._name(path, node)
        self._step()
        node.modified = next(self._inodes)
        node.change(data)

    def settle(self):
        """Make everything durable, and begin to count."""
        for node in self._nodes():
            node.versions = [node.content]
        self.steps = 0

    def after_power_cut(self, limit=100):
        """Give the disks that may be found; with more than `limit` of them, evenly spread ones."""
        uncertain = [(node, node.outcomes()) for node in self._nodes() if len(node.versions) > 1]
        choices = itertools.product(*[range(len(outcomes)) for _, outcomes in uncertain])
        count = 1
        for _, outcomes in uncertain:
            count *= len(outcomes)
        for choice in itertools.islice(choices, 0, None, max(1, count // limit)):
            fates = {
                node.inode: outcomes[pick] for (node, outcomes), pick in zip(uncertain, choice, strict=True)
            }
            yield self._copy_with(fates)

    def _copy_with(self, fates):
        disk = ModelDisk(can_exchange=self.can_exchange)
        disk._inodes = itertools.count(next(self._inodes) + 1000)
        copies = {}

        def copied(node):
            if node.inode not in copies:
                copy = copies[node.inode] = Node(node.inode, node.kind, node.mode, node.modified)
                copy.owner = node.owner
                content = fates.get(node.inode, node.content)
                copy.content = (
                    {name: copied(e) for name, e in content.items()} if isinstance(content, dict) else content
                )
                copy.versions = [copy.content]
            return copies[node.inode]

        disk.root = copied(self.root)
        return disk

    # -- inside -----------------------------------------------------------------------------------------

    def _step(self):
        if self.steps == self.fail_at:
            raise PowerCut
        self.steps += 1

    def _node(self, kind, mode):
        inode = next(self._inodes)
        return Node(inode, kind, mode, inode)

    def _nodes(self):
        """Every node that has, or may still have, a name."""
        found, queue = {}, [self.root]
        while queue:
            node = queue.pop()
            if node.inode not in found:
                found[node.inode] = node
                if node.kind is Kind.FOLDER:
                    queue += [entry for content in node.versions for entry in content.values()]
        return list(found.values())

    def _find(self, path):
        node = self.root
        for part in Path(path).parts[1:]:
            node = node.content.get(part) if node is not None and node.kind is Kind.FOLDER else None
        return node

    def _there(self, path):
        node = self._find(path)
        if node is None:
            raise DurableError(f"{path}: not there", path=path)
        return node

    def _name(self, path, node):
        folder = self._there(path.parent)
        folder.change({**folder.content, path.name: node})

    def _forget(self, path):
        folder = self._there(path.parent)
        folder.change({name: entry for name, entry in folder.content.items() if name != path.name})

"""What the controllee knows follows the leader: versions, the pair on disk, snapshots, conflicts and their merging."""

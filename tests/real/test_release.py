"""HTCondor is found from where condor_master is, in each layout in which people install it; this needs no HTCondor."""

import pytest

from tests.real.release import NEEDED, TOOLS, Release, find_release

LAYOUTS = {
    "a build or a tarball": ("sbin", "bin", "libexec"),
    "RPM packages": ("sbin", "bin", "libexec/condor"),
    "Debian packages": ("sbin", "bin", "lib/condor/libexec"),
    "one folder for all programs": ("bin", "bin", "libexec/condor"),
}


def install(root, sbin, tools, libexec):
    """Make empty programs where a layout has them."""
    places = dict.fromkeys(("condor_master", *NEEDED), sbin)
    places |= dict.fromkeys(TOOLS, tools) | {"condor_transferer": libexec}
    for name, folder in places.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).touch()
        (root / folder / name).chmod(0o755)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_each_layout(tmp_path, layout):
    """RELEASE_DIR, SBIN, BIN and LIBEXEC follow from the folder of condor_master."""
    install(tmp_path, *layout)
    release, _ = find_release(str(tmp_path / layout[0]))
    assert release == Release(tmp_path, *(tmp_path / folder for folder in layout))
    assert release.program("condor_transferer") == tmp_path / layout[2] / "condor_transferer"


def test_a_folder_that_is_a_link(tmp_path):
    """Where /usr/sbin is a link to /usr/bin, everything is found all the same."""
    install(tmp_path, "bin", "bin", "libexec/condor")
    (tmp_path / "sbin").symlink_to("bin")
    release, _ = find_release(str(tmp_path / "sbin"))
    assert release.libexec == tmp_path / "libexec" / "condor"
    assert release.program("condor_had").exists()


def test_what_lacks_is_named(tmp_path):
    """No condor_master, no condor_transferer, or a daemon missing: the reason to skip says which."""
    assert find_release(str(tmp_path)) == (None, "condor_master is not on PATH")
    install(tmp_path, "sbin", "bin", "libexec")
    (tmp_path / "sbin" / "condor_replication").unlink()
    assert "condor_replication" in find_release(str(tmp_path / "sbin"))[1]
    (tmp_path / "libexec" / "condor_transferer").unlink()
    assert "condor_transferer" in find_release(str(tmp_path / "sbin"))[1]
